"""What is stopped and not dead, a process or a backend, does not keep others for ever."""

import contextlib
import signal

import psycopg
import pytest

from eventstore import clock
from eventstore.postgres import silence
from eventstore.testing import birth, step
from eventstore.wrapped import bare
from playhead import Engine
from tests.faults.postgres.conftest import told
from tests.faults.stage import story

pytestmark = pytest.mark.slow

HOLDER = """
import sys, threading
from eventstore import open_log
log = open_log(sys.argv[1])
def hold(cursor):
    cursor.execute(log.database.sql.STANDING, ("s",)).fetchone()
    print("held", flush=True)
    threading.Event().wait()
log._writer.do(hold)
"""


def test_a_process_stopped_in_mid_transaction_lets_go_of_its_rows(log, program, postgres_url):
    """Row 21: the server ends a transaction that does nothing, and with it its locks."""
    tip = birth(log, "s")
    holder = program(HOLDER, postgres_url)
    assert holder.process.stdout.readline() == "held\n"
    holder.process.send_signal(signal.SIGSTOP)
    assert step(log, "s", tip).version == 2, "and not busy, which it is said to be after 10 s"


def test_a_frozen_backend_of_the_keeper_costs_no_lease(own_postgres, app, serve, desk, until):
    """Row 16: the lease is renewed by a new connection when the old one is mute for 3 s."""
    (app / "hang").touch()
    run = desk.start(story, x=1).id
    serve(lease=20.0)
    until((app / "hanging").exists)
    keeper = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    ((pid,),) = own_postgres.execute(keeper)
    with own_postgres.frozen(pid):
        (before,) = desk.log.workers()
        until(lambda: desk.log.workers()[0].until > before.until)
        assert desk.log.workers()[0].until > clock.now_us()
        (app / "hang").unlink()
        until(lambda: desk.get(run).status == "succeeded")
    assert ("step.lost", "second") not in told(desk, run)


def test_a_frozen_backend_that_is_only_asked_costs_no_lease(
    own_postgres, postgres_url, log, until
):
    """Row 16: a lease is renewed while a look at the others is stuck for as long as it may be."""
    with Engine(postgres_url, workflows=[story], lease=2.0) as engine:
        inner = bare(engine.log)
        keeper, base = inner._leases._desk, inner.database
        until(lambda: len(base._everything) > 2)
        kept = (base.ready(), keeper._session)
        asked = [s.raw.info.backend_pid for s in base._everything if s not in kept]
        with contextlib.ExitStack() as frozen:
            for pid in asked:
                frozen.enter_context(own_postgres.frozen(pid))
            until(lambda: any(map(is_asking, base._everything)))
            (before,) = log.workers()
            until(lambda: log.workers()[0].until > before.until + 3 * clock.SECOND)
            assert any(map(is_asking, base._everything)), "the look is still stuck"


def is_asking(session):
    """Say whether a statement is on its way on a connection."""
    return session.raw.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE


def test_an_append_given_to_a_frozen_backend_is_written_once(
    own_postgres, log, until, monkeypatch
):
    """Row 16: where nobody works, too; a new connection writes; thawed, the old one does not."""
    monkeypatch.setattr(silence, "LONGEST", 1.0)  # seconds, of which there are fifteen
    tip = birth(log, "s")
    writer = log.database.ready()
    pid = writer.raw.info.backend_pid
    with own_postgres.frozen(pid):
        begun = clock.real_seconds()
        assert step(log, "s", tip).version == 2
        assert 1 < clock.real_seconds() - begun < 14
        assert log.database.ready() is not writer
    is_gone = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
    until(lambda: own_postgres.execute(is_gone, [pid]) == [])
    assert [event.version for event in log.read("s")] == [1, 2]
    assert list(log.verify()) == []
