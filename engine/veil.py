"""The veil: takes declared secrets out of text, JSON and events, before they are folded.

Laws of this file: what is veiled is veiled before the fold sees it, so that fold and log agree;
what is veiled already stays as it is; what holds no secret is handed back itself.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from engine.core.events import Fact
from engine.errors import ValueRefused
from engine.secrets import MARK, Secrets, forms_of, mark_of

_VALUES = frozenset({"inputs", "output", "payload", "facts", "tags"})  # users' own, of an event
_WORDS = frozenset({"reason", "error"})  # text that quotes anything
_KEYS = frozenset({"key", "by"})
_MARK = re.compile(re.escape(MARK) + r"(?::[\w.-]+)?\]", re.ASCII)
_HEADER = re.compile(r"(proxy)?authorization|(set)?cookie|x.*")
_BLOTTED = mark_of()

Said = TypeVar("Said", bound=msgspec.Struct)


class Veil:
    """The secrets of one engine, ready to be looked for; safe from any thread."""

    def __init__(self, secrets: Secrets) -> None:
        marks: dict[str, str] = {}
        found = secrets.resolved()
        for name, value in found.items():
            marks |= dict.fromkeys(forms_of(value), mark_of(name))
        self._marks = marks
        self._forms = tuple(marks)
        in_json = {msgspec.json.encode(form)[1:-1].decode() for form in marks}
        self._forms_in_json = (*marks, *sorted(in_json - marks.keys()))
        self._numbers = {
            value.strip(): mark_of(name) for name, value in found.items() if value.isdecimal()
        }
        longest = sorted(marks, key=lambda form: (-len(form), form))
        self._any_form = re.compile("|".join(map(re.escape, longest)) or "(?!)")
        self._fields = frozenset(map(_plain_name, secrets.fields))
        spelled = [_spellings(name) for name in secrets.fields]
        self._signs = _shortest({sign for signs in spelled for sign in signs})
        self._in_text = _patterns(secrets.fields) if secrets.fields else ()

    # Text.

    def text(self, text: str) -> str:
        """Give text without the values: keys, names. *Pure.*"""
        if not any(form in text for form in self._forms):
            return text
        pieces: list[str] = []
        end = 0
        for mark in _MARK.finditer(text):  # nothing is looked for across a mark
            pieces += (self._cut(text[end : mark.start()]), mark[0])
            end = mark.end()
        return "".join(pieces) + self._cut(text[end:])

    def _cut(self, piece: str) -> str:
        return self._any_form.sub(lambda hit: self._marks[hit[0]], piece)

    def words(self, text: str) -> str:
        """Give text without the values, and without what it says of a field. *Pure.*

        `password=…` in a query or a form, `"password": "…"` in JSON or Python, `Cookie: …` in
        headers.
        """
        text = self.text(text)
        if not self._names_a_field(text):
            return text
        if text.lstrip()[:1] in ("{", "["):
            try:
                inner = msgspec.json.decode(text)
            except (msgspec.MsgspecError, RecursionError, ValueError):
                pass
            else:
                clean = self.plain(inner)
                if clean != inner:
                    text = msgspec.json.encode(clean).decode()
        for pattern in self._in_text:
            text = pattern.sub(lambda hit: hit["before"] + _BLOTTED, text)
        return text

    def _names_a_field(self, text: str) -> bool:
        lower = text.lower()
        return any(sign in lower for sign in self._signs)

    # Values.

    def raw(self, raw: bytes) -> bytes:
        """Give a user's value, as JSON, without secrets. *Pure.*

        Raises:
            ValueRefused: it is nested too deeply to be looked through.
        """
        if not self._may_hold(raw.decode()):
            return raw
        try:
            value = msgspec.json.decode(raw)
            clean = self.plain(value)
        except RecursionError:
            raise ValueRefused(
                "a value that may hold a secret is nested too deeply to be looked through"
            ) from None
        return raw if clean == value else msgspec.json.encode(clean)

    def _may_hold(self, text: str) -> bool:
        return any(form in text for form in self._forms_in_json) or self._names_a_field(text)

    def plain(self, value: Any) -> Any:
        """Give a plain JSON value without secrets. *Pure.*"""
        if isinstance(value, str):
            return self.words(value)
        if isinstance(value, dict):
            return self._entries(value)
        if isinstance(value, list):
            if all(map(_is_pair, value)):  # headers, as servers hand them over
                return [self._pair(*pair) for pair in value]
            return [self.plain(item) for item in value]
        if type(value) is int and self._numbers:
            return self._numbers.get(str(value), value)
        return value

    def _entries(self, value: dict[str, Any]) -> dict[str, Any]:
        clean: dict[str, Any] = {}
        named = value.get("name")
        for name, item in value.items():
            is_secret = self.is_field(name) or (
                name == "value" and isinstance(named, str) and self.is_field(named)
            )
            key = self.text(name)
            while key in clean:  # two names that differed in a secret only
                key += "~"
            clean[key] = _blot(item) if is_secret else self.plain(item)
        return clean

    def _pair(self, name: str, item: str) -> list[str]:
        return [self.words(name), _blot(item) if self.is_field(name) else self.words(item)]

    def is_field(self, name: str) -> bool:
        """Tell whether what stands under a name is secret. *Pure.*"""
        return _plain_name(name) in self._fields

    # Events.

    def event(self, text: str) -> str:
        """Give the data of an event, as JSON, without secrets. *Pure.*

        Only what users made is looked at: a hash or an id never holds a secret.
        """
        if not self._may_hold(text):
            return text
        told: dict[str, Any] = msgspec.json.decode(text)
        clean = {name: self._of_event(name, value) for name, value in told.items()}
        return text if clean == told else msgspec.json.encode(clean).decode()

    def _of_event(self, name: str, value: Any) -> Any:
        if name in _VALUES:
            return self.plain(value)
        if name in _WORDS:
            inner = value if isinstance(value, dict) else {"": value}
            clean = {k: self.words(v) if isinstance(v, str) else v for k, v in inner.items()}
            return clean if isinstance(value, dict) else clean[""]
        return self.text(value) if name in _KEYS and isinstance(value, str) else value

    def fact(self, fact: Fact) -> Fact:
        """Give a fact that is about to be folded, without secrets. *Pure.*"""
        data, subject = self.said(fact.data), self.text(fact.subject)
        if data is fact.data and subject == fact.subject:
            return fact
        return msgspec.structs.replace(fact, data=data, subject=subject)

    def said(self, data: Said) -> Said:
        """Give the data of an event that is about to be folded, without secrets. *Pure.*"""
        text = msgspec.json.encode(data).decode()
        clean = self.event(text)
        return data if clean is text else msgspec.json.decode(clean, type=type(data))


def veiled_tags(veil: Veil, tags: Mapping[str, str]) -> dict[str, str]:
    """Give tags as they are kept. *Pure.*"""
    clean: dict[str, str] = veil.plain(dict(tags))
    return clean


def _blot(item: Any) -> Any:
    return item if item is None or item == "" or isinstance(item, bool) else _BLOTTED


def _is_pair(item: Any) -> bool:
    return (
        isinstance(item, list)
        and len(item) == 2
        and all(isinstance(part, str) for part in item)
    )


def _plain_name(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _spellings(name: str) -> set[str]:
    words = re.split("[-_]", name.lower())
    return {joint.join(words) for joint in ("-", "_", "")}


def _shortest(signs: set[str]) -> tuple[str, ...]:
    """Leave out what holds another one: where it stands, the other does."""
    return tuple(s for s in sorted(signs) if not any(o != s and o in s for o in signs))


def _patterns(fields: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """Give what finds a field and its value in text of other kinds."""

    def any_of(names: list[str]) -> str:
        return "|".join("[-_]?".join(map(re.escape, re.split("[-_]", name))) for name in names)

    longest = sorted(fields, key=len, reverse=True)
    name = rf"(?<![\w-])(?:{any_of(longest)})"
    opened = rf"(?P<before>{name}(?:\\*[\"'])?\s*[:=]\s*b?(?P<quote>\\*[\"']))"
    rest = r"(?:(?!(?P=quote))(?:\\.|.))+"
    found = [
        rf"(?P<before>{name}=)[^\s&\"'<>;,\\]+",
        opened + rest,
    ]
    headers = [one for one in longest if _HEADER.fullmatch(_plain_name(one))]
    if headers:
        name = rf"(?<![\w-])(?:{any_of(headers)})"
        found.append(rf"(?P<before>{name}\s*:\s*)[^\s\"'][^\r\n\"']*")
        pair = rf"(?P<before>{name}\\*[\"'],\s*b?(?P<quote>\\*[\"']))"  # (b'cookie', b'…')
        found.append(pair + rest)
    return tuple(re.compile(one, re.IGNORECASE | re.ASCII) for one in found)
