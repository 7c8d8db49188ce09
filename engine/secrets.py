"""`Secrets`: what is never to be written, declared once; every form in which it may turn up."""

import base64
import difflib
import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus, urlsplit

from engine.errors import DefinitionError

SHORTEST = 6  # characters of a secret; a shorter one stands in other words by chance
LONG_LINE = 16  # characters of a line of a secret of several lines that is looked for alone
MARK = "[redacted"  # what each mark begins with
FIELDS = (
    "authorization", "proxy_authorization", "cookie", "set_cookie", "password", "passwd",
    "passphrase", "secret", "client_secret", "token", "access_token", "refresh_token", "id_token",
    "auth_token", "session_token", "api_key", "x_api_key", "x_auth_token", "private_key",
    "credentials",
)  # fmt: skip
_NAME = re.compile(r"[\w.-]+", re.ASCII)


class Secrets:
    """What an engine must never write: in its log, in lines of loggers, anywhere.

    A value is replaced wherever it stands, by a mark that names it: `[redacted:STRIPE_KEY]`.
    What stands under the name of a field is replaced whatever it is, by `[redacted]`.

    Args:
        env: names of environment variables that hold secrets; read when the engine is made.
        values: secrets that are no environment variables, by a name for the mark.
        fields: names of fields, headers and query parameters; small and capital letters, `-`
            and `_` make no difference. By default `Secrets.FIELDS`.
        missing_ok: a variable of `env` may be absent.

    Raises:
        DefinitionError: a variable is absent, a secret is shorter than 6 characters, or stands in
            a mark; the secret itself is never told.
    """

    FIELDS = FIELDS

    def __init__(
        self, env: Iterable[str] = (), *, values: Mapping[str, str | bytes] | None = None,
        fields: Iterable[str] = FIELDS, missing_ok: bool = False,
    ) -> None:  # fmt: skip
        if isinstance(env, str) or isinstance(fields, str):
            raise DefinitionError(
                'Secrets(env=[...], fields=[...]) take lists: env=["API_KEY"]'
            )
        if values is not None and not isinstance(values, Mapping):
            raise DefinitionError(
                'Secrets(values={...}) gives each secret a name for its mark: {"stripe": key}'
            )
        self.env, self.fields = tuple(env), tuple(fields)
        self._values = dict(values or {})
        self._missing_ok = missing_ok
        for name in (*self.env, *self._values, *self.fields):
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise DefinitionError(
                    f"Secrets: {name!r} is no name; letters, digits, _ - and . make one"
                )

    def __repr__(self) -> str:
        return f"Secrets(env={list(self.env)}, values of {sorted(self._values)})"

    def resolved(self) -> dict[str, str]:
        """Give the secrets by name. *Touches the world: reads the environment.*

        Raises:
            DefinitionError: see above.
        """
        found: dict[str, str] = {}
        for name in self.env:
            value = os.environ.get(name)
            if value:
                found[name] = value
            elif not self._missing_ok:
                near = difflib.get_close_matches(name, os.environ, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise DefinitionError(
                    f"Secrets(env=...): the environment has no {name}{hint}"
                    " (missing_ok=True lets it be absent)"
                )
        for name, given in self._values.items():
            found[name] = (
                given.decode("utf-8", "replace") if isinstance(given, bytes) else given
            )
        marks = [mark_of(name) for name in found]
        for name, value in found.items():
            _check(name, value, marks)
        return found


def mark_of(name: str | None = None) -> str:
    """Give what stands in place of a secret. *Pure.*"""
    return f"{MARK}]" if name is None else f"{MARK}:{name}]"


def _check(name: str, value: object, marks: list[str]) -> None:
    if not isinstance(value, str):
        raise DefinitionError(f"Secrets: {name} is no text and no bytes")
    if len(value.strip()) < SHORTEST:
        raise DefinitionError(
            f"Secrets: {name} is shorter than {SHORTEST} characters: so short a text stands in"
            " others by chance; make it longer, or name the field it stands in (fields=...)"
        )
    if MARK in value or any(value.strip() in mark for mark in marks):
        raise DefinitionError(
            f"Secrets: {name} stands in the mark of a secret ({MARK}:NAME]); change its name"
        )


def forms_of(value: str) -> set[str]:
    """Give the forms in which a secret turns up in text. *Pure.*

    As it is; in JSON, also JSON in JSON; as Python writes it; percent-encoded; in HTML; in hex;
    in base64 wherever it begins; the password of a URL; each long line of several.
    """
    found: set[str] = set()
    for part in _parts(value.strip()):
        found |= _escaped(part)
        raw = part.encode()
        found |= {raw.hex(), raw.hex().upper()}
        for urlsafe in (False, True):
            found |= set(_base64(raw, urlsafe=urlsafe))
    return {form for form in found if len(form) >= SHORTEST}


def _parts(value: str) -> Iterator[str]:
    yield value
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (
            line for line in lines if len(line) >= LONG_LINE and not line.startswith("-----")
        )
    if "://" in value:
        try:
            password = urlsplit(value).password
        except ValueError:
            return
        if password is not None and len(password) >= SHORTEST:
            yield password


def _escaped(part: str) -> set[str]:
    inner = {part}
    for ascii_only in (True, False):
        once = json.dumps(part, ensure_ascii=ascii_only)[1:-1]
        inner |= {once, json.dumps(once, ensure_ascii=ascii_only)[1:-1]}
    inner |= {repr(part)[1:-1], repr(part.encode())[2:-1], html.escape(part)}
    for percent in (quote(part), quote(part, safe=""), quote_plus(part)):
        inner |= {percent, re.sub("%[0-9A-F]{2}", lambda hit: hit[0].lower(), percent)}
    return inner


def _base64(raw: bytes, *, urlsafe: bool) -> Iterator[str]:
    """Give what of a secret's base64 is the same whatever stands before and behind it."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    for before in range(3):
        text = encode(b"\0" * before + raw).decode()
        yield text[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
