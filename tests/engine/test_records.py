"""Old shapes are lifted as they are read; shapes newer than the program are refused."""

import msgspec
import pytest

from engine import records
from eventstore import Event
from eventstore.errors import EventUnreadable
from playhead import Engine, StorageError, Workflow, step


def event(type_: str, shape: int, data: str) -> Event:
    """Give an event as a log would."""
    return Event(
        1, "run1", 3, type_, shape, 1, "work", "running", "succeeded", data, 0, None, "a", b""
    )


def test_todays_shape_is_read_letter_for_letter() -> None:
    """An event of today's shape needs no lift and keeps its text."""
    assert records.text_of(event("step.succeeded", 1, '{"attempt": 1}')) == '{"attempt": 1}'


def test_an_old_shape_is_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event of an earlier shape is read in today's, through the lift that is registered."""
    lifts = records.Lifts()

    @lifts.register("step.succeeded", 1)
    def rename(data: dict[str, object]) -> dict[str, object]:
        return {"attempt": data["try"], "output": data["output"]}

    monkeypatch.setattr(records, "LIFTS", lifts)
    monkeypatch.setattr(records, "NEWEST", {"step.succeeded": 2})
    told = records.told(event("step.succeeded", 1, '{"try":2,"output":7}'))
    assert (told.attempt, bytes(told.output)) == (2, b"7")


@pytest.mark.parametrize(("type_", "shape"), [("step.succeeded", 2), ("step.dreamt", 1)])
def test_a_newer_shape_is_refused(type_: str, shape: int) -> None:
    """A shape or type that this program does not know is an error that names it, never None."""
    with pytest.raises(EventUnreadable, match=type_):
        records.told(event(type_, shape, "{}"))


def test_a_run_of_a_newer_program_is_refused_in_our_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    """Reading a run whose events have a newer shape raises StorageError, and says which event."""
    workflow = Workflow("w", steps=[step(name="work")(lambda: 1)])
    engine = Engine(f"sqlite:///{tmp_path / 'log.db'}", workflows=[workflow])
    engine.run(workflow)
    read = engine.log.load

    def newer(stream: str, *, after: int = 0):
        head, events = read(stream, after=after)
        return head, [msgspec.structs.replace(e, type_version=9) for e in events]

    monkeypatch.setattr(engine.log, "load", newer)
    with pytest.raises(StorageError, match="shape 9"):
        engine.get(engine.runs()[0].id)
    engine.close()
