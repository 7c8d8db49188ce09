"""The contract of following the whole log: live, in order, nothing skipped."""
# ruff: noqa: S101 - tests assert

import threading

import pytest

from eventstore import clock
from eventstore.errors import CursorMoved
from eventstore.event import NEW, Event
from eventstore.feed import Feed
from eventstore.store import Append, Headline, Log, Write
from eventstore.testing.facts import birth, fact, row, step

WRITERS, EACH = 4, 40
PATIENCE = 30.0  # seconds


def ids(events: list[Event]) -> list[str]:
    """Give events as `stream@version`."""
    return [f"{event.stream}@{event.version}" for event in events]


def take(feed: Feed, count: int) -> list[Event]:
    """Take so many events of a feed and leave it."""
    events: list[Event] = []
    for event in feed:
        events.append(event)
        if len(events) == count:
            break
    return events


class FollowContract:
    """What is appended is followed."""

    def test_from_any_position_to_the_end(self, log: Log) -> None:
        """Without `follow` a feed ends with what there is, and stands there."""
        step(log, "a", birth(log, "a"))
        birth(log, "b")
        first = log.read("a")[0].position
        assert ids(list(Feed(log, follow=False))) == ["a@1", "a@2", "b@1"]
        feed = Feed(log, after=first, follow=False)
        assert ids(list(feed)) == ["a@2", "b@1"]
        assert feed.position == log.last_position()
        assert list(feed) == []

    def test_what_is_wanted_and_nothing_else(self, log: Log) -> None:
        """Kinds, names and types are all to hold; what they leave out is passed over."""
        birth(log, "a", headline=Headline("orders"), events=(fact(type="x"), fact(type="y")))
        birth(log, "b", headline=Headline("other"), events=(fact(type="x"),))
        birth(log, "c", kind="breaker", headline=Headline("orders"))

        def found(**wanted: list[str]) -> list[str]:
            feed = Feed(log, follow=False, **wanted)  # type: ignore[arg-type]
            events = ids(list(feed))
            assert feed.position == log.last_position()
            return events

        assert found(kinds=["run"]) == ["a@1", "a@2", "b@1"]
        assert found(names=["orders"]) == ["a@1", "a@2", "c@1"]
        assert found(names=["orders"], kinds=["run"], types=["y"]) == ["a@2"]
        assert found(types=["none"]) == []

    def test_a_live_follower_sees_all_that_many_threads_append(self, log: Log) -> None:
        """Each event once, in order of position, while they write; then it is stopped."""
        feed, seen = Feed(log), list[Event]()
        follower = threading.Thread(target=lambda: seen.extend(take(feed, WRITERS * EACH)))
        follower.start()

        def work(name: str) -> None:
            tip = NEW
            for number in range(EACH):
                write = Write(name, "run", tip, (fact(),), row())
                (tip,) = log.append(Append(f"{name}-{number}", (write,)))

        threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in (*threads, follower):
            thread.join(PATIENCE)
        assert seen == log.read_all(limit=10_000)
        assert len(seen) == WRITERS * EACH

    def test_a_feed_that_waits_is_stopped_from_another_thread(self, log: Log) -> None:
        """It ends at once, and an event appended meanwhile is there for the next one."""
        birth(log, "a")
        feed, seen = Feed(log, cursor="mirror"), list[Event]()
        follower = threading.Thread(target=lambda: seen.extend(feed))
        follower.start()
        until = clock.real_seconds() + PATIENCE
        while log.cursor("mirror").version == 0 and clock.real_seconds() < until:
            clock.real_sleep(0.005)
        feed.stop()
        follower.join(PATIENCE)
        assert not follower.is_alive()
        assert ids(seen) == ["a@1"]
        birth(log, "b")
        assert ids(list(Feed(log, cursor="mirror", follow=False))) == ["b@1"]

    def test_what_was_not_taken_comes_again(self, log: Log) -> None:
        """A consumer that fails at an event gets that one again, and none before it."""
        tip = birth(log, "a")
        for _ in range(3):
            tip = step(log, "a", tip)
        handed_out = []

        def consume() -> None:
            for event in Feed(log, cursor="mirror"):
                handed_out.append(event.version)
                if event.version == 3:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            consume()
        assert handed_out == [1, 2, 3]
        assert ids(list(Feed(log, cursor="mirror", follow=False))) == ["a@3", "a@4"]
        assert list(Feed(log, cursor="mirror", follow=False)) == []
        assert len(list(Feed(log, cursor="another", follow=False))) == 4

    def test_of_two_followers_with_one_cursor_the_second_is_told(self, log: Log) -> None:
        """The one that comes second to move it fails; the cursor stands where the first left it."""
        birth(log, "a")
        one, two = (Feed(log, cursor="mirror", follow=False) for _ in range(2))
        assert len(list(one)) == 1
        with pytest.raises(CursorMoved, match="'mirror'"):
            list(two)
        assert log.cursor("mirror").version == 1

    @pytest.mark.slow
    def test_at_rest_a_feed_asks_once_a_second(self, log: Log) -> None:
        """When nothing has come for a while there are no more questions than seconds."""
        birth(log, "a")
        feed = Feed(log, cursor="mirror")
        follower = threading.Thread(target=lambda: list(feed))
        follower.start()
        last = began = clock.real_seconds()
        asked = log.counters.statements
        while clock.real_seconds() < min(last + 0.9, began + PATIENCE):
            clock.real_sleep(0.01)
            if asked != log.counters.statements:
                asked, last = log.counters.statements, clock.real_seconds()
        began = clock.real_seconds()
        clock.real_sleep(2.2)
        more, seconds = log.counters.statements - asked, clock.real_seconds() - began
        feed.stop()
        follower.join(PATIENCE)
        assert more <= seconds + 1
        assert log.cursor("mirror").position == log.last_position()
