"""How senders sign: the schemes as a table, and one rule that holds a delivery against it. Pure.

Laws of this file: raw bytes are compared, in constant time, before anything is parsed; a header
that counts and comes twice is no proof; nothing that a stranger sends makes it raise.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from eventstore import clock
from triggers.errors import wrong

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]  # as the wire has them, in order

FORGED = "the signature is missing or wrong"
STALE = "signed too long ago, or too far ahead"
MANY = 20  # signatures of one delivery that are looked at
ENCODINGS = ("hex", "base64")
DIGESTS = ("sha1", "sha256", "sha384", "sha512")


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of sender signs. Names of headers are lower-case."""

    header: str  # where the signatures stand
    prefix: str = ""  # of a signature that is to be checked; others are passed over
    between: str = ""  # what stands between several signatures; "": there is one
    encoding: str = "hex"
    digest: str = "sha256"
    signed: str = "{body}"  # what is signed: text, and parts in braces
    id_header: str = ""  # the delivery's id, signed
    time_header: str = ""  # seconds since 1970, signed
    time_prefix: str = ""  # or they stand among the signatures, behind this
    id_in_body: str = ""  # the key of the JSON body whose text is the delivery's id
    unsigned_id: str = ""  # a header with an id that anybody can change
    event: str = ""  # a header that names the kind of event, not signed
    challenge: str = ""  # the type of a JSON body whose challenge is to be sent back
    is_coded: bool = False  # a secret is base64 behind "whsec_"; else it is its own bytes


SCHEMES = {
    "standard": Scheme(
        header="webhook-signature",
        prefix="v1,",
        between=" ",
        encoding="base64",
        signed="{id}.{time}.{body}",
        id_header="webhook-id",
        time_header="webhook-timestamp",
        is_coded=True,
    ),
    "github": Scheme(header="x-hub-signature-256", prefix="sha256=", event="x-github-event"),
    "stripe": Scheme(
        header="stripe-signature",
        prefix="v1=",
        between=",",
        signed="{time}.{body}",
        time_prefix="t=",
        id_in_body="id",
    ),
    "slack": Scheme(
        header="x-slack-signature",
        prefix="v0=",
        signed="v0:{time}:{body}",
        time_header="x-slack-request-timestamp",
        id_in_body="event_id",
        challenge="url_verification",
    ),
}


class Signed(msgspec.Struct, frozen=True):
    """What a right signature vouches for beside the body."""

    id: str = ""  # "" where none is signed outside the body
    at: int | None = None  # microseconds; None where no time is signed


class Refused(msgspec.Struct, frozen=True):
    """A delivery that proves nothing; the reason is for the log, never for the sender."""

    reason: str


def verify(
    scheme: Scheme,
    secrets: Sequence[bytes],
    headers: Headers,
    body: bytes,
    *,
    now: int,
    tolerance: int,
) -> Signed | Refused:
    """Tell whether a delivery was signed with one of the secrets, and lately. *Pure.*

    Args:
        secrets: as `key_of_secret` gives them; any one of them will do.
        body: raw, as it came.
        now: microseconds; only asked where the time is signed.
        tolerance: microseconds between `now` and the signed time, to either side.
    """
    signature = once(headers, scheme.header)
    if signature is None:
        return Refused(FORGED)
    given = signature.split(scheme.between.encode()) if scheme.between else [signature]
    parts = {"body": body, "id": b"", "time": b""}
    if scheme.id_header:
        parts["id"] = once(headers, scheme.id_header) or b""
        # The Standard Webhooks specification: an id with a full stop could take over the time's.
        if not parts["id"] or b"." in parts["id"]:
            return Refused(FORGED)
    at = None
    if scheme.time_header or scheme.time_prefix:
        parts["time"] = _time(scheme, headers, given) or b""
        at = _seconds(parts["time"])
        if at is None:
            return Refused(FORGED)
    marked = _behind(scheme.prefix, given, scheme.encoding)
    if not any(_is_among(_sign(scheme, secret, parts), marked) for secret in secrets):
        return Refused(FORGED)
    if at is not None and abs(now - at) > tolerance:
        return Refused(STALE)
    return Signed(parts["id"].decode("latin-1"), at)


def once(headers: Headers, name: str) -> bytes | None:
    """Give the value of a header; None if it is not there, or more than once. *Pure.*"""
    found = [value for key, value in headers if key.lower() == name.encode()]
    return found[0].strip() if len(found) == 1 else None


def _time(scheme: Scheme, headers: Headers, given: list[bytes]) -> bytes | None:
    if scheme.time_header:
        return once(headers, scheme.time_header)
    times = _behind(scheme.time_prefix, given, "")
    return times[0] if len(times) == 1 else None


def _seconds(text: bytes) -> int | None:
    """Give a signed time in microseconds; None if it is no plain count of seconds."""
    if not text.isdigit() or len(text) > 11:  # up to the year 5138
        return None
    return int(text) * clock.SECOND


def _behind(prefix: str, given: list[bytes], encoding: str) -> list[bytes]:
    """Give what stands behind a prefix; hex in small letters, which are the same bytes."""
    mark = prefix.encode()
    found = [part.strip() for part in given[:MANY]]
    found = [part[len(mark) :] for part in found if part.startswith(mark)]
    return [part.lower() for part in found] if encoding == "hex" else found


def _sign(scheme: Scheme, secret: bytes, parts: dict[str, bytes]) -> bytes:
    made = hmac.new(secret, digestmod=getattr(hashlib, scheme.digest))
    for place, text in enumerate(re.split(r"\{(\w+)\}", scheme.signed)):
        made.update(parts[text] if place % 2 else text.encode())
    if scheme.encoding == "hex":
        return made.hexdigest().encode()
    return base64.b64encode(made.digest())


def _is_among(expected: bytes, given: Iterable[bytes]) -> bool:
    # As text, not decoded: two texts of one signature would be two headers for one proof.
    return any(hmac.compare_digest(expected, one) for one in given)


def key_of_secret(scheme: Scheme, secret: Any) -> bytes:
    """Give the bytes that a secret signs with. *Pure.*

    Raises:
        DefinitionError: it is no secret of this scheme; the secret itself is not told.
    """
    if not isinstance(secret, str | bytes):
        raise wrong(
            f"a secret of secrets= is {type(secret).__name__}, no text or bytes;"
            " is its environment variable set?"
        )
    if not secret or not secret.strip():
        raise wrong("a secret of secrets= is empty: everybody could sign with it")
    if isinstance(secret, bytes):
        return secret
    if not scheme.is_coded:
        return secret.encode("utf-8", "surrogateescape")  # as an environment variable has it
    try:
        coded = secret.removeprefix("whsec_")
        key = base64.b64decode(coded + "=" * (-len(coded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise wrong(
            "a secret of secrets= is no Standard Webhooks secret: write it as the sender shows"
            " it, 'whsec_' and base64, or hand over its bytes"
        )
    return key
