"""An import while others read and write, and the guards that stand aside for it on SQLite."""

import hashlib
import io
import sqlite3
import threading

import msgspec
import pytest

from eventstore import arrival, open_log
from eventstore.errors import ExportRefused, HistoryDiffers, LogError
from eventstore.export import export
from eventstore.testing import birth, fact

REPLACE = "INSERT OR REPLACE INTO event SELECT * FROM event"
SCHEMA = "SELECT type, name, sql FROM sqlite_master ORDER BY name"


def exported(streams):
    """Give an export of a log of so many streams."""
    log, file = open_log("memory://"), io.BytesIO()
    for number in range(streams):
        birth(log, f"s{number}", events=(fact(at=number),))
    export(log, file.write)
    file.seek(0)
    return file


def rows(path, sql):
    """Give the rows of a database as another program would."""
    with sqlite3.connect(path) as other:
        found = other.execute(sql).fetchall()
    other.close()
    return found


def test_the_guards_are_back_after_an_import(file_log, path):
    """Taken in or refused: the schema is what it was, and an event cannot be replaced."""
    birth(file_log, "mine", events=(fact(at=1),))
    before = rows(path, SCHEMA)
    file = exported(3)
    arrival.take(file_log, file, arrival.check(file))
    assert rows(path, SCHEMA) == before
    birth(file_log, "s3", events=(fact(at=77),))
    file = exported(5)
    with pytest.raises(HistoryDiffers):
        arrival.take(file_log, file, arrival.check(file))
    assert rows(path, SCHEMA) == before
    with pytest.raises(sqlite3.IntegrityError, match="events are immutable"):
        rows(path, REPLACE)
    assert len(file_log.read_all()) == 5


def test_a_header_that_knows_less_than_its_lines_is_refused():
    """Positions behind those that are said to be given out would be given out a second time."""
    raw = exported(2).getvalue().replace(b'"last":2', b'"last":1', 1)
    body = raw[: raw.rindex(b"\n", 0, -1) + 1]
    footer = raw[len(body) :]
    footer = msgspec.json.encode(
        msgspec.json.decode(footer) | {"sha256": hashlib.sha256(body).hexdigest()}
    )
    with pytest.raises(ExportRefused, match=r"position 2 lies behind .* \(1\)"):
        arrival.check(io.BytesIO(body + footer + b"\n"))


def test_large_values_named_on_both_sides_of_a_foreign_letter_come_along():
    """A letter beyond ASCII parts two names, and does not run them into one that is nobody's."""
    log, file = open_log("memory://"), io.BytesIO()
    one, two = log.put_blob(b"1"), log.put_blob(b"2")
    both = log.put_blob(f"{one}é{two}".encode())
    birth(log, "s", events=(fact(data=f'{{"n":"{both}"}}'),))
    assert export(log, file.write, streams=["s"]).lines["blob"] == 3


def test_readers_see_nothing_of_it_until_it_is_done(file_log, path):
    """Whoever reads in the middle of an import finds the log as it was before."""
    birth(file_log, "mine")
    other = open_log(f"sqlite:///{path}")
    file = exported(5)
    arrived = arrival.check(file)
    seen = []

    class Watched(io.BytesIO):
        def __next__(self):
            seen.append(len(other.read_all()))
            return super().__next__()

    arrival.take(file_log, Watched(file.getvalue()), arrived)
    assert set(seen) == {1}
    assert len(other.read_all()) == 6
    other.close()


def test_a_file_that_changes_between_the_two_readings(file_log):
    """What fails in the second reading leaves nothing, and the log works on."""
    file = exported(5)
    arrived = arrival.check(file)
    lines = file.getvalue().splitlines(keepends=True)
    for less in (
        lines[:-1],
        lines[:-3],
        [*lines[:-3], lines[-1]],
        [*lines[:-1], lines[-1][:-9]],
    ):
        with pytest.raises(ExportRefused):
            arrival.take(file_log, io.BytesIO(b"".join(less)), arrived)
    assert file_log.heads(kind="run") == []
    arrival.take(file_log, file, arrived)
    assert list(file_log.verify()) == []


def test_engines_append_while_a_log_arrives(log):
    """An append of another thread or process waits for the import; both are there, none fails."""
    file = exported(2000)
    arrived = arrival.check(file)
    others = [log] if log.path is None and not log.is_remote else [log, open_log(log.url)]
    errors, done = [], []

    def work(one, name):
        try:
            for number in range(20):
                birth(one, f"{name}-{number}")
        except LogError as error:
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=(one, f"mine{number}"))
        for number, one in enumerate(others)
    ]
    for thread in threads:
        thread.start()
    done.append(arrival.take(log, file, arrived))
    for thread in threads:
        thread.join(100)
    for other in others[1:]:
        other.close()
    assert errors == []
    assert done[0].events == 2000
    assert len(log.read_all(limit=9999)) == 2000 + 20 * len(others)
    assert list(log.verify()) == []
