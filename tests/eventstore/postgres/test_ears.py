"""Hints to other processes: who tells them, and until when."""

import threading

import pytest

from eventstore import open_log
from tests.servers.waiting import wait_for

pytestmark = pytest.mark.postgres


def test_closing_waits_for_the_last_hint(postgres_proxy, postgres_log_url):
    """No thread is still telling when the log is closed: it would connect once more."""
    log = open_log(postgres_proxy.url(postgres_log_url))
    log.head("nobody")
    log.hint(["s1"])
    log.hint(["s2"])  # so soon after the first one that it is told later, by a thread
    ears = log._hall
    crier = ears._crier
    with postgres_proxy.muted():
        wait_for(lambda: not ears._pending, "a hint on its way")
        closing = threading.Thread(target=log.close)
        closing.start()
        closing.join(0.3)
        assert closing.is_alive() or not crier.is_alive()
    closing.join()
    assert not crier.is_alive()


def test_hints_that_come_while_one_is_told_are_told(postgres_log_url):
    """However many come at once, each is heard by those who listen elsewhere."""
    log, other = open_log(postgres_log_url), open_log(postgres_log_url)
    ear = other.listen("w")
    log.head("nobody")
    for number in range(100):
        log.hint([f"s{number}"])
    heard = set()
    wait_for(lambda: heard.update(ear.wait(0.1)) or len(heard) == 100, "all hints")
    log.close()
    other.close()


def test_hints_of_long_names_are_heard_whole(postgres_log_url):
    """A notice has room for 8,000 bytes: what does not fit into one goes into several."""
    log, other = open_log(postgres_log_url), open_log(postgres_log_url)
    ear = other.listen("w")
    log.head("nobody")
    names = {f"{number:03}" + "ä" * 290 for number in range(250)}
    log.hint(names, skip="s" * 600)
    heard = set()
    wait_for(lambda: heard.update(ear.wait(0.1)) or heard == names, "all hints")
    log.close()
    other.close()
