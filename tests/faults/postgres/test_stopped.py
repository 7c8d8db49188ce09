"""What is stopped and not dead, a process or a backend, does not keep others for ever."""

import signal

import pytest

from eventstore import clock
from eventstore.testing import birth, step
from tests.faults.postgres.conftest import told

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
    begun = clock.real_seconds()
    assert step(log, "s", tip).version == 2
    assert clock.real_seconds() - begun < 9


def test_a_frozen_backend_of_the_keeper_costs_no_lease(
    own_postgres, app, serve, start, desk, until
):
    """Row 16: the lease is renewed by a new connection when the old one is mute for 3 s."""
    (app / "hang").touch()
    (run,) = start(1)
    serve(lease=10.0)
    until((app / "hanging").exists, 20)
    keeper = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    ((pid,),) = own_postgres.execute(keeper)
    (before,) = desk.log.workers()
    with own_postgres.frozen(pid):
        until(lambda: desk.log.workers()[0].until > before.until + 5 * clock.SECOND, 15)
        assert desk.log.workers()[0].until > clock.now_us()
        (app / "hang").unlink()
        until(lambda: desk.get(run).status == "succeeded", 10)
    assert ("step.lost", "second") not in told(desk, run)
