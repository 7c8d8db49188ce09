"""What a log counts of itself: streams by name and status, by who holds them, and by how late."""

import msgspec


class Count(msgspec.Struct, frozen=True):
    """Streams of one kind that are alike."""

    name: str  # e.g. the workflow
    status: str
    needs: str | None
    streams: int
    events: int  # that are still there
    pruned: int  # streams whose events are gone


class Holding(msgspec.Struct, frozen=True):
    """Streams that one worker owns."""

    owner: str
    kind: str
    name: str
    streams: int


class Overdue(msgspec.Struct, frozen=True):
    """Streams that are due and that nobody has taken."""

    name: str
    needs: str | None
    streams: int
    oldest: int  # since when the first of them is due


class Lease(msgspec.Struct, frozen=True):
    """How a living worker was seen last."""

    until: int
    skew: int | None  # so far its clock is ahead of the database's, if that has one
