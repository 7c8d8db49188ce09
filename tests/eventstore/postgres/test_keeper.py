"""The keeper's connection hears while somebody listens, and only then."""

import contextlib
import socket
import threading

import pytest

from eventstore import WorkerRow, open_log
from eventstore.errors import LogError
from eventstore.postgres.locks import key_of
from tests.servers.waiting import wait_for


def test_it_listens_while_somebody_does(postgres_log_url):
    """With the last ear closed nothing piles up in the server; a new ear hears again."""
    with contextlib.closing(open_log(postgres_log_url)) as log:
        keeper = log._leases._desk
        channels = "SELECT pg_listening_channels()"
        for _ in range(2):
            one, two = log.listen("one"), log.listen("two")
            assert len(keeper.rows(channels)) == 1
            one.close()
            assert len(keeper.rows(channels)) == 1
            two.close()
            assert keeper.rows(channels) == []


def test_a_hint_from_another_process_is_heard_again(postgres_log_url):
    """An ear opened after all had been closed hears what another log object hints at."""
    with (
        contextlib.closing(open_log(postgres_log_url)) as log,
        contextlib.closing(open_log(postgres_log_url)) as other,
    ):
        log.listen("one").close()
        ear = log.listen("one")
        other.head("nobody")
        other.hint(["s"])
        assert ear.wait(10) == {"s"}
        ear.close()


def test_whoever_comes_while_the_last_one_leaves_has_a_thread(postgres_log_url):
    """Two who come and go at once: nobody waits for ever, each has a thread, none is left."""
    errors = []

    def come_and_go(user):
        try:
            for _ in range(100):
                keeper.open(user)
                assert keeper._thread is not None
                assert keeper._thread.is_alive()
                keeper.leave(user)
        except AssertionError as error:
            errors.append(error)

    with contextlib.closing(open_log(postgres_log_url)) as log:
        log.head("nobody")
        keeper = log._leases._desk
        guests = [
            threading.Thread(target=come_and_go, args=(user,), daemon=True) for user in "ab"
        ]
        for guest in guests:
            guest.start()
        for guest in guests:
            guest.join(100)
        assert not any(guest.is_alive() for guest in guests)
        assert errors == []
        assert not any(one.name == "playhead-keeper" for one in threading.enumerate())


def test_a_lock_that_the_last_session_still_held_is_taken_once_it_is_free(
    own_postgres, postgres_log_url
):
    """A session that the server gives up late leaves no living worker without its lock."""
    with contextlib.closing(open_log(postgres_log_url)) as log:
        log.enter(WorkerRow("w", "w", "host", 1, 0, 1 << 60, ()))
        keeper = log._leases._desk
        old = keeper._session.raw.info.backend_pid
        holders = log.database.sql.HELD_LOCKS.replace("SELECT ", "SELECT pid, ", 1)

        def held_by():
            keys = dict(log.database.query(holders))
            return {pid for pid, key in keys.items() if key == key_of("w")}

        with own_postgres.frozen(old):
            with socket.fromfd(keeper._session.raw.fileno(), -1, -1) as line:
                line.shutdown(socket.SHUT_RDWR)
            wait_for(lambda: keeper.generation == 2, "a new connection")
            assert held_by() == {old}
        wait_for(lambda: held_by() not in (set(), {old}), "the lock in new hands")


@pytest.mark.slow
def test_whoever_is_refused_leaves_no_thread(postgres_log_url):
    """A worker whose id is taken elsewhere keeps neither a connection at work nor a thread."""
    with (
        contextlib.closing(open_log(postgres_log_url)) as log,
        contextlib.closing(open_log(postgres_log_url)) as other,
    ):
        worker = WorkerRow("w", "w", "host", 1, 0, 1 << 60, ())
        log.enter(worker)
        with pytest.raises(LogError, match="an id of its own"):
            other.enter(worker)
        assert other._leases._desk._thread is None
