"""A delivery as the log and the workflow see it: its body, its headers, what makes it count once.

Pure. Only what was signed right gets here.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from triggers.webhook.schemes import Headers, Scheme, Signed, once

DEEPEST = 200  # levels of JSON; every reader behind us has its own, deeper stack
LONGEST = 200  # characters of an id that is kept as it is
REDACTED = "[redacted]"
_SECRET = re.compile(
    r"authorization|\bauth\b|cookie|signature|token|secret|password|credential|apikey"
    r"|(?<!idempotency)-key$"
)
_EVENT = re.compile(r"[a-z0-9_.-]{1,64}")


class Unreadable(ValueError):
    """The body is not what its content type, or the workflow's input, says it is."""


def content(headers: Headers, body: bytes, form: type | None) -> Any:
    """Give the body as a value. *Pure.*

    Args:
        form: bytes or str give the raw body; None reads it by its content type.

    Returns:
        JSON as plain values (of a key that comes twice, the last), else text, else bytes. Without
        a content type it is JSON if it can be read as such. An empty body is an empty text.

    Raises:
        Unreadable: the content type says JSON and the body is none, or it is to be text and is
            no UTF-8.
    """
    if form is bytes:
        return body
    if form is str:
        return _text(body)
    kind = (once(headers, "content-type") or b"").lower().partition(b";")[0].strip()
    says_json = kind.endswith((b"/json", b"+json"))
    if body and (says_json or not kind):
        try:
            return read_json(body)
        except Unreadable:
            if says_json:
                raise
    try:
        return _text(body)
    except Unreadable:
        return body


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Unreadable("the body is no UTF-8") from None


def read_json(body: bytes) -> Any:
    """Give JSON as plain values. *Pure.*

    Raises:
        Unreadable: it is no strict JSON, or nested more than 200 deep.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:  # not UTF-8: a ValueError
        raise Unreadable(f"the body is no JSON: {error}") from None
    except RecursionError:
        value, is_deep = None, True
    else:
        is_deep = body.count(b"[") + body.count(b"{") > DEEPEST and _is_deep(value)
    if is_deep:
        raise Unreadable(f"the body is no JSON that is nested at most {DEEPEST} deep")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [item for one in level for item in _inside(one) if type(item) in (dict, list)]
        if not level:
            return False
    return True


def _inside(one: Any) -> Iterable[Any]:
    if type(one) is dict:
        return one.values()
    return one if type(one) is list else ()


def shown(scheme: Scheme, headers: Headers) -> dict[str, str]:
    """Give the headers as text, names in small letters; what proves or opens is blotted out."""
    found: dict[str, str] = {}
    for key, value in headers:
        name = key.decode("latin-1").lower()
        if name == scheme.header or _SECRET.search(name):
            found[name] = REDACTED
        else:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def key(scheme: Scheme, signed: Signed, headers: Headers, body: bytes) -> str | None:
    """Give what makes a delivery count once; None if nothing tells it from others. *Pure.*

    The id that is signed; else the id that `id_header=` names, else the body's own bytes. An
    id that anybody can change (GitHub's X-GitHub-Delivery) is never taken unasked: who has
    recorded a delivery could play it again under another id.
    """
    if signed.id:
        return _short(signed.id)
    if scheme.id_in_body:
        id_ = _text_in(body, scheme.id_in_body)
        if id_:
            return _short(id_)
    if scheme.unsigned_id:
        given = once(headers, scheme.unsigned_id)
        if given:
            return _short(given.decode("latin-1"))
    if not body:
        return None
    digest = hashlib.sha256(body).hexdigest()
    event = (once(headers, scheme.event) or b"").decode("latin-1") if scheme.event else ""
    return f"{event}:{digest}" if _EVENT.fullmatch(event) else f"sha256:{digest}"


def _text_in(body: bytes, name: str) -> str:
    try:
        told = read_json(body)
    except Unreadable:
        return ""
    text = told.get(name) if isinstance(told, dict) else None
    return text if isinstance(text, str) else ""


def _short(id_: str) -> str:
    """Give an id that the log can hold: a long or odd one by its digest."""
    if len(id_) <= LONGEST and id_.isprintable():
        return id_
    digest = hashlib.sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()
    return f"id-sha256:{digest}"


def challenge(scheme: Scheme, body: bytes) -> str | None:
    """Give the text that is to be sent back before anything is delivered, if this asks it."""
    if not scheme.challenge or scheme.challenge.encode() not in body:
        return None
    if _text_in(body, "type") != scheme.challenge:
        return None
    return _text_in(body, "challenge") or None
