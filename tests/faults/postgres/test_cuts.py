"""Row 15: the way to the server is cut without a word: nobody is told, and it is noticed."""

import threading

import pytest

from eventstore import clock
from eventstore.postgres.address import address_of
from eventstore.testing import birth, step
from tests.faults.postgres.conftest import told
from tests.faults.stage import story

pytestmark = pytest.mark.slow


def test_a_silent_cut_is_noticed_within_ten_seconds_unless_the_url_says_otherwise():
    """Row 15: the kernel gives up what nobody confirms; a url may set its own patience."""
    assert address_of("postgresql://h/d").options["tcp_user_timeout"] == "10000"
    url = "postgresql://h/d?tcp_user_timeout=2000"
    assert "tcp_user_timeout" not in address_of(url).options
    assert address_of(url).url.query["tcp_user_timeout"] == "2000"


def test_an_append_outlasts_a_cable_that_is_pulled(
    far_postgres, log_at, log, postgres_url, until
):
    """Row 15: cut in mid-append, the client gives the line up, connects anew, and wrote once."""
    far = log_at(far_postgres.url(postgres_url) + "?tcp_user_timeout=1000&connect_timeout=2")
    tip = birth(far, "s")
    line = far.database.ready()
    far_postgres.unplug()
    done = []
    appending = threading.Thread(target=lambda: done.append(step(far, "s", tip)))
    begun = clock.real_seconds()
    appending.start()
    until(lambda: far.database._writer is not line)  # while nothing can get through
    assert appending.is_alive()
    far_postgres.plug()
    appending.join(60)
    assert done[0].version == 2
    assert clock.real_seconds() - begun < 10
    assert [event.version for event in log.read("s")] == [1, 2]


def test_a_worker_that_is_cut_off_loses_its_run_and_writes_nothing_to_it(
    far_postgres, postgres_url, app, serve, desk, until
):
    """Row 15: cut off beyond its lease, a daemon's run goes on elsewhere; back, it is fenced."""
    (app / "hang").touch()
    run = desk.start(story, x=1).id
    url = far_postgres.url(postgres_url) + "?tcp_user_timeout=1000&connect_timeout=2"
    victim = serve(url, lease=2.0)
    until((app / "hanging").exists)
    far_postgres.unplug()
    (app / "hang").unlink()  # it comes to an end, and cannot say so
    serve()
    until(lambda: desk.get(run).status == "succeeded")
    before = told(desk, run)
    far_postgres.plug()
    until(lambda: sum(row.until > clock.now_us() for row in desk.log.workers()) == 2)
    more = [desk.start(story, x=x).id for x in range(8)]
    until(lambda: all(desk.get(one).status == "succeeded" for one in more))
    assert told(desk, run) == before
    assert before.count(("step.succeeded", "second")) == 1
    assert ("step.lost", "second") in before
    assert victim.process.poll() is None
