"""The contract of `append`."""
# ruff: noqa: S101 - tests assert

import threading

import pytest

from eventstore.errors import Fenced, KeyTaken, LogError, WrongExpectedVersion
from eventstore.event import NEW, Tip, chain
from eventstore.store import Append, InboxKey, Log, Row, Write
from eventstore.testing.facts import birth, fact, row, step


class AppendContract:
    """All of it or nothing, once, under the checks that were asked for."""

    def test_tip_follows_the_events(self, log: Log) -> None:
        """The tip given back has the version, epoch and hash of the last event."""
        first, second = fact(at=1), fact(at=2, data='{"é": "☃"}', cause="x@1", type_version=3)
        tip = birth(log, "s", events=(first, second))
        digest = chain(chain(b"", "s", 1, 0, first), "s", 2, 0, second)
        assert tip == Tip(2, 0, digest)
        events = log.read("s")
        assert [event.version for event in events] == [1, 2]
        assert [event.hash for event in events][1] == digest
        assert (events[1].data, events[1].cause, events[1].type_version) == (
            '{"é": "☃"}', "x@1", 3,
        )  # fmt: skip

    def test_a_stream_born_with_an_owner_has_epoch_one(self, log: Log) -> None:
        """A new stream has epoch 1 if it is born owned, else 0; its events too."""
        assert birth(log, "owned", owner="w").epoch == 1
        assert log.read("owned")[0].epoch == 1
        assert birth(log, "free").epoch == 0

    def test_a_stale_version_is_refused(self, log: Log) -> None:
        """Two writers from one tip: the first wins, the second is told where the stream stands."""
        tip = birth(log, "s")
        step(log, "s", tip)
        with pytest.raises(WrongExpectedVersion) as refused:
            step(log, "s", tip)
        assert (refused.value.stream, refused.value.expected, refused.value.actual) == (
            "s",
            1,
            2,
        )
        assert len(log.read("s")) == 2

    def test_a_new_stream_must_be_new(self, log: Log) -> None:
        """Creating a stream that exists is refused, and so is stepping one that does not."""
        birth(log, "s")
        with pytest.raises(WrongExpectedVersion):
            birth(log, "s")
        with pytest.raises(WrongExpectedVersion) as refused:
            step(log, "other", Tip(3, 0, b""))
        assert refused.value.actual == 0

    def test_a_past_epoch_is_fenced(self, log: Log) -> None:
        """A writer whose stream was taken over is fenced, whatever version it knows."""
        tip = birth(log, "s", due=1)
        log.claim("b", kind="run", now=5, limit=1)
        with pytest.raises(Fenced) as refused:
            step(log, "s", tip)
        assert (refused.value.epoch, refused.value.actual, refused.value.owner) == (0, 1, "b")

    def test_nothing_of_a_refused_append_remains(self, log: Log) -> None:
        """One write refused: no other write, no inbox key, no row of that append is there."""
        tip = birth(log, "a")
        stale = birth(log, "b")
        step(log, "b", stale)
        writes = (
            Write("a", "run", tip, (fact(),), row(status="changed")),
            Write("b", "run", stale, (fact(),), row()),
            Write("c", "run", NEW, (fact(),), row()),
        )
        with pytest.raises(WrongExpectedVersion):
            log.append(Append("x", writes, (InboxKey("src", "k", "c"),)))
        assert len(log.read("a")) == 1
        assert log.head("c") is None
        assert log.find("src", "k") is None
        head = log.head("a")
        assert head is not None
        assert head.status == "running"

    def test_tips_come_in_the_order_of_the_writes(self, log: Log) -> None:
        """Streams may be written in any order; the tips are in the order they were named."""
        writes = tuple(
            Write(name, "run", NEW, tuple(fact() for _ in range(count)), row())
            for name, count in (("z", 3), ("a", 1), ("m", 2))
        )
        assert [tip.version for tip in log.append(Append("x", writes))] == [3, 1, 2]

    def test_an_inbox_key_counts_once(self, log: Log) -> None:
        """The second append with a key is told which stream the first one started."""
        key = InboxKey("webhook", "k'\"%", "s")
        birth(log, "s", inbox=(key,))
        assert log.find("webhook", "k'\"%") == "s"
        with pytest.raises(KeyTaken) as refused:
            birth(log, "t", inbox=(InboxKey("webhook", "k'\"%", "t"),))
        assert refused.value.stream == "s"
        assert log.head("t") is None
        birth(log, "u", inbox=(InboxKey("other", "k'\"%", "u"),))

    def test_the_key_is_checked_before_the_version(self, log: Log) -> None:
        """An append that both repeats a key and is stale hears of the key."""
        birth(log, "s", inbox=(InboxKey("src", "k", "s"),))
        with pytest.raises(KeyTaken):
            birth(log, "s", inbox=(InboxKey("src", "k", "s"),))

    def test_the_same_id_again_is_found_done(self, log: Log) -> None:
        """A repeated append writes nothing and gives the tips as they were then."""
        other = birth(log, "other")
        append = Append(
            "same",
            (
                Write("s", "run", NEW, (fact(), fact()), row()),
                Write("other", "run", other, (fact(),), row()),
            ),
            (InboxKey("src", "k", "s"),),
        )
        tips = log.append(append)
        step(log, "s", tips[0])
        assert log.append(append) == tips
        assert len(log.read("s")) == 3
        assert len(log.read("other")) == 2

    def test_another_id_is_no_repetition(self, log: Log) -> None:
        """The same events under another id are a conflict, not a repetition."""
        write = Write("s", "run", NEW, (fact(),), row())
        log.append(Append("one", (write,)))
        with pytest.raises(WrongExpectedVersion):
            log.append(Append("two", (write,)))

    def test_bookkeeping_keeps_the_version(self, log: Log) -> None:
        """A row without events changes the row, not the version nor the time of the last event."""
        tip = birth(log, "s", owner="w", waits_on=("x",))
        booked = Row("waiting", due=7, owner="w", needs="gpu", label='{"a":1}')
        assert log.append(Append("b", (Write("s", "run", tip, (), booked),))) == [tip]
        head = log.head("s")
        assert head is not None
        assert (head.status, head.due, head.waits_on, head.needs, head.label, head.updated) == (
            "waiting", 7, (), "gpu", '{"a":1}', 1_000,
        )  # fmt: skip

    def test_events_without_a_row_leave_the_row(self, log: Log) -> None:
        """Events alone move the tip and the time; every other field of the row stays."""
        tip = birth(log, "s", due=9, waits_on=("n",), owner="w")
        log.append(Append("x", (Write("s", "run", tip, (fact(at=2_000),)),)))
        head = log.head("s")
        assert head is not None
        assert (head.tip.version, head.due, head.waits_on, head.owner, head.updated) == (
            2, 9, ("n",), "w", 2_000,
        )  # fmt: skip

    def test_a_check_refuses_and_writes_nothing(self, log: Log) -> None:
        """A write without events and row only holds the rest to where a stream stands."""
        seen = birth(log, "breaker", kind="breaker")
        writes = (Write("s", "run", NEW, (fact(),), row()), Write("breaker", "breaker", seen))
        tips = log.append(Append("one", writes))
        assert tips[1] == seen
        step(log, "breaker", seen)
        moved = (Write("t", "run", NEW, (fact(),), row()), Write("breaker", "breaker", seen))
        with pytest.raises(WrongExpectedVersion):
            log.append(Append("two", moved))
        assert log.head("t") is None

    def test_a_check_may_ask_for_absence(self, log: Log) -> None:
        """A check with the tip NEW holds only while there is no such stream."""
        absent = Write("b", "breaker", NEW)
        log.append(Append("one", (Write("s", "run", NEW, (fact(),), row()), absent)))
        assert log.head("b") is None
        birth(log, "b", kind="breaker")
        with pytest.raises(WrongExpectedVersion):
            log.append(Append("two", (Write("t", "run", NEW, (fact(),), row()), absent)))

    def test_taking_an_unowned_stream_raises_the_epoch(self, log: Log) -> None:
        """An append may take a stream nobody owns; its events bear the new epoch."""
        tip = birth(log, "s")
        taken = step(log, "s", tip, owner="w")
        assert taken.epoch == 1
        assert log.read("s")[-1].epoch == 1
        again = step(log, "s", taken, owner="w")
        assert again.epoch == 1
        assert list(log.verify()) == []

    def test_an_append_cannot_take_from_an_owner(self, log: Log) -> None:
        """Only `claim` takes a stream from one worker and gives it to another."""
        tip = birth(log, "s", owner="a")
        with pytest.raises(Fenced):
            step(log, "s", tip, owner="b")

    def test_letting_go_without_events_raises_the_epoch(self, log: Log) -> None:
        """Who read the stream as owned cannot write it as owned after it was let go."""
        tip = birth(log, "s", owner="a")
        freed, *_ = log.append(Append("x", (Write("s", "run", tip, (), row(owner=None)),)))
        assert (freed.version, freed.epoch) == (1, 2)
        with pytest.raises(Fenced):
            step(log, "s", tip, owner="a")

    def test_letting_go_with_events_keeps_the_epoch(self, log: Log) -> None:
        """The version has moved, which keeps others out as well."""
        tip = birth(log, "s", owner="a")
        assert step(log, "s", tip, owner=None).epoch == 1

    def test_a_foreign_hash_is_refused(self, log: Log) -> None:
        """A tip with the right version but another hash would break the chain."""
        tip = birth(log, "s")
        with pytest.raises(LogError, match="hash"):
            step(log, "s", Tip(tip.version, tip.epoch, b"\0" * 32))
        assert list(log.verify()) == []

    def test_nonsense_is_refused_before_anything(self, log: Log) -> None:
        """A stream or a key twice in one append, or a birth without an event, is a ValueError."""
        write = Write("s", "run", NEW, (fact(),), row())
        key = InboxKey("a", "b", "s")
        for append in (
            Append("x", (write, write)),
            Append("x", (write,), (key, key)),
            Append("x", (Write("s", "run", NEW, (), row()),)),
        ):
            with pytest.raises(ValueError, match="append 'x'"):
                log.append(append)
        assert log.head("s") is None

    def test_threads_share_the_log(self, log: Log) -> None:
        """From many threads each stream gets its events in order, and each append counts once."""
        faults: list[BaseException] = []

        def write(name: str) -> None:
            try:
                tip = birth(log, name)
                for _ in range(19):
                    tip = step(log, name, tip)
            except BaseException as error:  # noqa: BLE001 - told by the test
                faults.append(error)

        threads = [threading.Thread(target=write, args=(f"s{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert faults == []
        assert log.counters.appends == 160
        assert log.counters.events == 160
        assert log.counters.bytes == 160 * len('{"n":1}')
        assert 0 < log.counters.commits <= 160
        positions = [event.position for event in log.read_all(limit=1000)]
        assert len(positions) == 160
        assert positions == sorted(set(positions))
        assert list(log.verify()) == []

    def test_of_racing_writers_one_wins(self, log: Log) -> None:
        """Sixteen threads step one stream from one tip: one is taken, the others refused."""
        tip = birth(log, "s")
        outcomes: list[str] = []
        start = threading.Barrier(16)

        def race() -> None:
            start.wait(10)
            try:
                step(log, "s", tip)
                outcomes.append("won")
            except WrongExpectedVersion:
                outcomes.append("lost")

        threads = [threading.Thread(target=race) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(outcomes) == ["lost"] * 15 + ["won"]
        assert len(log.read("s")) == 2

    def test_a_refused_append_does_not_spoil_its_neighbours(self, log: Log) -> None:
        """Threads that are refused, and threads that are not, all get their own answer."""
        stale = birth(log, "busy")
        step(log, "busy", stale)
        answers: dict[int, str] = {}
        start = threading.Barrier(16)

        def go(number: int) -> None:
            start.wait(10)
            for turn in range(10):
                try:
                    if number % 2:
                        step(log, "busy", stale)
                    else:
                        birth(log, f"s{number}-{turn}")
                    answers[number] = "done"
                except WrongExpectedVersion:
                    answers[number] = "refused"

        threads = [threading.Thread(target=go, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert answers == {n: "refused" if n % 2 else "done" for n in range(16)}
        assert len(log.read("busy")) == 2
        assert len(log.heads(kind="run")) == 81
