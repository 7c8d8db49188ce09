"""One thing that cannot be right about a definition, and the hint that a near miss deserves."""

import difflib
from collections.abc import Iterable

import msgspec

_LOOKED_AT = 10_000  # names; difflib compares each


class Finding(msgspec.Struct, frozen=True):
    """One thing that cannot be right."""

    code: str
    message: str
    subject: str = ""  # the node, state or guard at fault


def near(name: str, known: Iterable[str]) -> str:
    """Give the known name that is nearest as "; did you mean 'enrich'?", or ""."""
    found = difflib.get_close_matches(name, list(known)[:_LOOKED_AT], 1)
    return f"; did you mean {found[0]!r}?" if found else ""
