"""The keeper's connection hears while somebody listens, and only then."""

import contextlib

from eventstore import open_log


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
