"""Rows 13 and 14: a connection ends in mid-commit, and what was written is found by its id."""

import pytest

from eventstore import NEW, Append, Write
from eventstore.errors import StorageUnreachable
from eventstore.postgres import database
from eventstore.testing import birth, fact, row
from eventstore.testing import step as advance
from playhead import Engine, Workflow, step

APPENDING = r"WITH .* INSERT INTO \S*event"  # the one statement that an append is, as a rule


def an_append(name):
    """Give an append that creates a stream."""
    return Append(f"append-{name}", (Write(name, "run", NEW, (fact(),), row()),))


def test_an_append_whose_answer_gets_lost_is_found_done(
    log_at, log, postgres_proxy, postgres_url
):
    """Row 14: the server commits, the answer never comes: the append succeeds, written once."""
    far = log_at(postgres_proxy.url(postgres_url))
    tip = birth(far, "s")
    lost = postgres_proxy.lose_answer(APPENDING, tag="INSERT")
    tip = advance(far, "s", tip)
    assert lost.happened
    assert tip.version == 2
    assert [event.version for event in log.read("s")] == [1, 2]
    assert list(log.verify()) == []


def test_the_answer_to_a_commit_gets_lost(log_at, log, postgres_proxy, postgres_url):
    """Row 14: so it is with an append that looks before it writes, and ends in COMMIT."""
    far = log_at(postgres_proxy.url(postgres_url))
    tip = birth(far, "s")
    lost = postgres_proxy.lose_answer("COMMIT")
    writes = (Write("s", "run", tip, (fact(),), row()), Write("absent", "run", NEW))
    assert far.append(Append("careful", writes))[0].version == 2
    assert lost.happened
    assert [event.version for event in log.read("s")] == [1, 2]


@pytest.mark.slow
def test_runs_end_although_answers_get_lost(postgres_proxy, postgres_url):
    """Row 14: claimed, begun, recorded or ended: whichever answer is lost, each result is one."""
    calls = []
    note = step_of(calls)
    workflow = Workflow("w", steps=[note])
    url = postgres_proxy.url(postgres_url)
    desk = Engine(postgres_url, workflows=[workflow])
    with Engine(url, workflows=[workflow], lease=3.0):
        for number in range(8):
            word, tag = [(APPENDING, "INSERT"), ("COMMIT", "COMMIT")][number % 2]
            lost = postgres_proxy.lose_answer(word, tag=tag)
            run = desk.start(workflow, x=number)  # the other one claims it: that is a COMMIT
            assert run.result(timeout=20) == number
            assert lost.wait(10)
            kinds = [event.type for event in desk.history(run)]
            assert kinds.count("step.succeeded") == kinds.count("run.succeeded") == 1
    assert list(desk.log.verify()) == []
    desk.close()
    assert calls == list(range(8))


def step_of(calls):
    """Give a step that keeps count of its calls."""

    @step
    def note(x: int) -> int:
        calls.append(x)
        return x

    return note


def test_an_outcome_that_nobody_can_tell_is_told_as_such(
    log_at, log, postgres_proxy, postgres_url, monkeypatch
):
    """Row 14: with no server to ask, the error says how to find out; asked again, it is done."""
    far = log_at(postgres_proxy.url(postgres_url))
    far.head("nobody")
    monkeypatch.setattr(database, "PATIENCE", 0.5)  # seconds, of which there are ten
    postgres_proxy.lose_answer(APPENDING, tag="INSERT", for_good=True)
    with pytest.raises(StorageUnreachable, match="again with the same id"):
        far.append(an_append("s"))
    postgres_proxy.refusing = False
    (tip,) = far.append(an_append("s"))
    assert log.head("s").tip == tip
    assert len(log.read("s")) == 1
