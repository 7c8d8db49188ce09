"""The fold of a run, held against every prefix of its history."""

import msgspec

from engine.core.run import Run as Folded
from engine.playhead import Playhead
from engine.runs import Run

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(Folded).decode


def assert_replays(run: Run) -> None:
    """Hold the fold of a run against every prefix of its history.

    From each prefix a snapshot is taken and read back; folding the rest onto it must give what
    folding everything gives, field by field. The state that the engine works with must be the
    same, and the log's chain of hashes unbroken.

    Raises:
        AssertionError: says after which event what differs.
    """
    engine = run._engine  # noqa: SLF001 - the kit is ours, and a Run shows no engine
    repository = engine.repository
    events = engine.log.read(run.id)
    whole = Folded(run.id)
    for event in events:
        copy = _decode(_encode(whole))
        repository.fold(whole, [event])
        repository.fold(copy, [event])
        where = f"event {event.version} ({event.type} of {event.subject!r}) of run {run.id}"
        _same(copy, whole, f"{where}, folded onto a snapshot")
        _same(_decode(_encode(whole)), whole, f"{where}, read back from a snapshot")
    _same(engine.peek(run.id).run, whole, f"run {run.id}, as the engine loads it")
    head = Playhead(run.id, events, repository.plan, engine.log)
    for version in range(len(events), 0, -max(1, len(events) // 10)):
        part = Folded(run.id)
        repository.fold(part, events[:version])
        _same(head.seek(version).fold(), part, f"run {run.id}, wound back to event {version}")
    faults = list(engine.log.verify(run.id))
    if faults:
        raise AssertionError("\n".join(faults))


def _same(found: Folded, wanted: Folded, where: str) -> None:
    if _encode(found) == _encode(wanted):
        return
    for name in Folded.__struct_fields__:
        one, other = getattr(found, name), getattr(wanted, name)
        if _encode(one) != _encode(other):
            raise AssertionError(f"{where}: {name} is {one!r} instead of {other!r}")
