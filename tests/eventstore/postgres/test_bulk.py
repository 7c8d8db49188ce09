"""Many appends in one statement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import open_log
from eventstore.errors import LogError
from eventstore.event import NEW, NewEvent
from eventstore.postgres.bulk import _literal
from eventstore.store import Append, Headline, InboxKey, Row, Write
from eventstore.testing.facts import birth, step

pytestmark = pytest.mark.postgres
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.fixture(scope="module")
def log(_postgres):
    if isinstance(_postgres, str):
        pytest.skip(f"needs PostgreSQL: {_postgres}")
    name = _postgres.create()
    made = open_log(_postgres.url(name))
    yield made
    made.close()
    _postgres.drop(name)


@given(data=TEXT, name=TEXT, key=TEXT, subject=TEXT, cause=st.none() | TEXT)
def test_any_text_comes_back_letter_for_letter(log, data, name, key, subject, cause):
    """Quotes, backslashes, braces, commas, NULL as a word, nothing at all: all is text."""
    stream = f"s{log.last_position()}"
    event = NewEvent("t", subject, "", "", data, 5, cause)
    row = Row(status=data, waits_on=(name,), owner=None, needs=key)
    headline = Headline(name, key, {name: data})
    log.append(Append(stream, (Write(stream, "run", NEW, (event,), row, headline),)))
    (read,) = log.read(stream)
    head = log.head(stream)
    assert (read.data, read.subject, read.cause, read.at) == (data, subject, cause, 5)
    assert (head.status, head.name, head.key, head.needs) == (data, name, key, key)
    assert (head.tags, head.waits_on) == ({name: data}, (name,))


def test_no_word_is_a_null():
    """The word NULL is text, and only None is none."""
    assert _literal("NULL") == '"NULL"'
    assert _literal(None) == "NULL"


def test_a_zero_byte_is_refused(log):
    """PostgreSQL keeps no zero byte in a text; who hands one in hears of it, nothing is kept."""
    write = Write("zero", "run", NEW, (NewEvent("t", "a\0b", "", "", "{}", 1),))
    with pytest.raises((LogError, ValueError), match=r"NUL|zero byte"):
        log.append(Append("zero", (write,)))
    assert log.head("zero") is None


def test_an_append_is_one_statement_and_one_commit(log):
    """Whatever it carries: a key, a birth, a step, events of both."""
    tip = birth(log, "known", owner="w")
    before = log.counters.statements, log.counters.commits
    event = NewEvent("t", "x", "", "", "{}", 1)
    log.append(
        Append(
            "both",
            (
                Write("known", "run", tip, (event,), Row(owner="w")),
                Write("fresh", "run", NEW, (event, event)),
            ),
            (InboxKey("here", "k", "fresh"),),
        )
    )
    assert (log.counters.statements, log.counters.commits) == (before[0] + 1, before[1] + 1)


def test_a_refused_append_leaves_nothing(log):
    """If one row does not add up, the statement has not happened: no key, no event, no row."""
    tip = birth(log, "moved")
    step(log, "moved", tip)
    event = NewEvent("t", "x", "", "", "{}", 1)
    with pytest.raises(LogError, match="moved"):
        log.append(
            Append(
                "late",
                (Write("moved", "run", tip, (event,)), Write("born", "run", NEW, (event,))),
                (InboxKey("here", "late", "born"),),
            )
        )
    assert log.head("born") is None
    assert log.find("here", "late") is None
