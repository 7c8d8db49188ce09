"""The facts of a firing as its event keeps them: JSON, and not too large. Pure."""

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from engine.triggering import Firing
from engine.veil import Veil

REASON = 500  # characters of a reason that are kept
LARGEST = 64 * 1024  # bytes of a fact that its event keeps; of a larger one, size and SHA-256


def recorded(firing: Firing) -> dict[str, Any]:
    """Give facts as JSON knows them, for the firing's event. *Pure.*

    Datetimes are text in UTC. Of a large fact the event keeps size and hash: what it caused has
    it whole.
    """
    plain: dict[str, Any] = msgspec.to_builtins(firing.facts, enc_hook=_as_text)
    for name, value in plain.items():
        if isinstance(value, str | list | dict):
            raw = msgspec.json.encode(value)
            if len(raw) > LARGEST:
                digest = hashlib.sha256(raw).hexdigest()
                plain[name] = {"bytes": len(raw), "sha256": digest}
    return plain


def veiled(firing: Firing, veil: Veil | None) -> Firing:
    """Give a firing whose key is as the log will have it. *Pure.*"""
    if veil is None:
        return firing
    return msgspec.structs.replace(firing, key=veil.text(firing.key))


def _as_text(value: object) -> str:
    if isinstance(value, datetime):  # freezegun's, which msgspec does not know
        return value.isoformat().replace("+00:00", "Z")
    return str(value)
