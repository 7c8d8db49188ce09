"""The contract of reading events and lists."""
# ruff: noqa: S101 - tests assert

from secrets import token_hex

import pytest

from eventstore.errors import StreamUnknown
from eventstore.event import NEW
from eventstore.store import Append, Headline, InboxKey, Log, Write
from eventstore.testing.facts import birth, fact, row, step


class ReadContract:
    """What was appended is what is read."""

    def test_an_unknown_stream(self, log: Log) -> None:
        """No row, no events; `load` says that there is no such stream."""
        assert log.head("none") is None
        assert log.read("none") == []
        assert log.read_version("none", [1]) == {}
        assert log.find("a", "b") is None
        with pytest.raises(StreamUnknown):
            log.load("none")

    def test_a_part_of_a_stream(self, log: Log) -> None:
        """`read` gives versions after one and up to another; `read_version` the named ones."""
        birth(log, "s", events=tuple(fact(at=n) for n in range(1, 11)))
        assert [e.version for e in log.read("s", after=3, upto=6)] == [4, 5, 6]
        assert [e.version for e in log.read("s", after=9)] == [10]
        assert log.read("s", after=10) == []
        assert sorted(log.read_version("s", [2, 9, 11, 2])) == [2, 9]
        assert log.read_version("s", []) == {}

    def test_as_of_a_time(self, log: Log) -> None:
        """`at` gives what had been recorded by then: up to the first event that is later."""
        birth(log, "s", events=tuple(fact(at=at) for at in (10, 20, 20, 40, 30, 50)))
        assert [e.version for e in log.read("s", at=20)] == [1, 2, 3]
        assert [e.version for e in log.read("s", at=35)] == [1, 2, 3]
        assert log.read("s", at=9) == []
        assert len(log.read("s", at=99)) == 6

    def test_load_gives_row_and_events_of_one_moment(self, log: Log) -> None:
        """The row stands at the last of the events given."""
        tip = birth(log, "s")
        step(log, "s", tip)
        head, events = log.load("s")
        assert head.tip.version == len(events) == 2
        assert head.tip.hash == events[-1].hash
        assert [e.version for e in log.load("s", after=1)[1]] == [2]
        assert log.load("s", after=2)[1] == []

    def test_the_whole_log_in_order(self, log: Log) -> None:
        """`read_all` goes through all streams by position, and pages after a position."""
        a = birth(log, "a")
        birth(log, "b")
        step(log, "a", a)
        events = log.read_all()
        assert [(e.stream, e.version) for e in events] == [("a", 1), ("b", 1), ("a", 2)]
        page = log.read_all(after=events[0].position, limit=1)
        assert [(e.stream, e.version) for e in page] == [("b", 1)]

    def test_events_of_some_types(self, log: Log) -> None:
        """`read_types` gives those of a name's streams between two positions, in order."""
        line = Headline("orders")
        birth(log, "a", headline=line, events=tuple(fact(type=t) for t in "xyz"))
        birth(log, "b", headline=Headline("other"), events=tuple(fact(type=t) for t in "xy"))
        birth(log, "c", headline=line, events=tuple(fact(type=t) for t in "yx"))
        last = log.last_position()

        def read(*types: str, after: int = 0, upto: int = last, limit: int = 9) -> list[str]:
            events = log.read_types(types, name="orders", after=after, upto=upto, limit=limit)
            return [f"{event.stream}{event.version}" for event in events]

        assert read("x", "y") == ["a1", "a2", "c1", "c2"]
        assert read("x") == ["a1", "c2"]
        assert read("x", "y", limit=2) == ["a1", "a2"]
        first = log.read("a")[0].position
        assert read("x", "y", after=first) == ["a2", "c1", "c2"]
        assert read("x", "y", upto=first) == ["a1"]
        assert read("x", after=last) == read("none") == read() == []

    def test_the_last_position(self, log: Log) -> None:
        """It is the newest event's; `before` asks for the newest of an earlier time."""
        assert log.last_position() == log.last_position(before=99) == 0
        birth(log, "a", events=(fact(at=10), fact(at=20)))
        birth(log, "b", events=(fact(at=30),))
        positions = [event.position for event in log.read_all()]
        assert log.last_position() == positions[2]
        assert log.last_position(before=30) == positions[1]
        assert log.last_position(before=11) == positions[0]
        assert log.last_position(before=10) == 0

    def test_many_keys_and_many_statuses_at_once(self, log: Log) -> None:
        """Those that there are come back, the others are left out."""
        birth(log, "s", status="waiting", inbox=(InboxKey("door", "k", "s"),))
        birth(log, "t", status="failed", inbox=(InboxKey("door", "l", "t"),))
        assert log.find_all("door", ["k", "l", "m"]) == {"k": "s", "l": "t"}
        assert log.find_all("other", ["k"]) == log.find_all("door", []) == {}
        assert log.statuses(["s", "t", "u"]) == {"s": "waiting", "t": "failed"}
        assert log.statuses([]) == {}

    def test_a_head_tells_all(self, log: Log) -> None:
        """A row gives back what birth and last append put into it."""
        line = Headline("wf", "k", {"team": "a"}, 5)
        tip = birth(log, "s", headline=line, events=(fact(at=3), fact(at=4)))
        tip = step(
            log, "s", tip, fact(at=9), status="waiting", due=77, waits_on=("x", "y"), needs="gpu",
            label='{"step":"a"}',
        )  # fmt: skip
        head = log.head("s")
        assert head is not None
        assert head.tip == tip
        assert (head.kind, head.name, head.key, head.tags, head.priority) == (
            "run", "wf", "k", {"team": "a"}, 5,
        )  # fmt: skip
        assert (head.status, head.due, head.waits_on, head.owner, head.needs, head.label) == (
            "waiting", 77, ("x", "y"), None, "gpu", '{"step":"a"}',
        )  # fmt: skip
        assert (head.created, head.updated) == (3, 9)

    def test_lists_are_newest_first(self, log: Log) -> None:
        """Rows come last created first, whatever their ids and times say."""
        for name, at in (("z", 30), ("a", 10), ("m", 20)):
            birth(log, name, events=(fact(at=at),))
        birth(log, "b", kind="breaker")
        assert [head.id for head in log.heads(kind="run")] == ["m", "a", "z"]
        assert [head.id for head in log.heads(kind="run", limit=1)] == ["m"]
        assert [head.id for head in log.heads(kind="run", since=20)] == ["m", "z"]
        assert log.heads(kind="trigger") == []

    def test_all_streams_page_by_page(self, log: Log) -> None:
        """Rows of every kind come in order of their ids; a page's last id leads to the next."""
        for name, kind in (("z", "run"), ("a", "breaker"), ("m", "trigger"), ("b", "odd")):
            birth(log, name, kind=kind)
        page = log.streams(limit=3)
        assert [(head.id, head.kind) for head in page] == [
            ("a", "breaker"), ("b", "odd"), ("m", "trigger"),
        ]  # fmt: skip
        assert [head.id for head in log.streams(after=page[-1].id)] == ["z"]
        assert log.streams(after="z") == []
        assert log.streams(after="y") == [log.head("z")]

    def test_events_of_many_streams_at_once(self, log: Log) -> None:
        """Each stream has its events in order; one that is not there has none."""
        for name in ("b", "a", "c"):
            tip = birth(log, name)
            for _ in range(11):
                tip = step(log, name, tip)
        assert log.read_streams(["a", "b", "none"]) == {"a": log.read("a"), "b": log.read("b")}
        assert log.read_streams([]) == {}

    def test_keys_that_lead_nowhere(self, log: Log) -> None:
        """A key whose stream is not there is given; one whose stream is there is left out."""
        stray = InboxKey("drops", "b", "nowhere")
        birth(log, "s", inbox=(InboxKey("drops", "a", "s"),))
        assert log.stray_keys() == []
        birth(log, "t", inbox=(stray, InboxKey("drops", "c", "none")))
        assert len(log.stray_keys()) == 2
        assert stray in log.stray_keys()
        assert len(log.stray_keys(limit=1)) == 1

    def test_lists_are_filtered(self, log: Log) -> None:
        """All filters are to hold; several statuses mean any of them."""
        birth(log, "1", headline=Headline("a", "k", {"x": "1", "y": "2"}), status="waiting")
        birth(log, "2", headline=Headline("a", None, {"x": "1"}), status="failed")
        birth(log, "3", headline=Headline("b", "k", {"x": "2"}), status="running")

        def ids(**filters: object) -> list[str]:
            return [head.id for head in log.heads(kind="run", **filters)]  # type: ignore[arg-type]

        assert ids(name="a") == ["2", "1"]
        assert ids(key="k") == ["3", "1"]
        assert ids(status=["waiting", "failed"]) == ["2", "1"]
        assert ids(status=("running",)) == ["3"]
        assert ids(tags={"x": "1"}) == ["2", "1"]
        assert ids(tags={"x": "1", "y": "2"}) == ["1"]
        assert ids(tags={"x": "1"}, status=["failed"], name="a") == ["2"]
        assert ids(tags={"nope": "1"}) == []
        assert ids(tags={}) == ["3", "2", "1"]

    @pytest.mark.parametrize(
        "text", ["a.b", "$", '"', "'", "a\"'] OR 1=1 --", "é☃", "", "\\", "%_", "[0]", "a b\n"]
    )
    def test_no_text_in_a_filter_is_code(self, log: Log, text: str) -> None:
        """Names, keys and tags of any letters are found as they are, and nothing else is."""
        birth(log, "plain", headline=Headline("n", "k", {"t": "v"}))
        birth(log, "odd", headline=Headline(text, text, {text: text}), waits_on=(text,))
        for filters in ({"name": text}, {"key": text}, {"tags": {text: text}}):
            assert [head.id for head in log.heads(kind="run", **filters)] == ["odd"]
        assert log.heads(kind="run", tags={text: "v"}) == []
        assert log.waiting(text) == ["odd"]

    def test_what_cannot_be_looked_up_everywhere_is_refused(self, log: Log) -> None:
        """The longest names and keys are found again; longer ones no kind of log takes."""
        name, key = token_hex(300), token_hex(1000)
        line, kept = Headline(name=name, key=key), InboxKey(name, key, name)
        birth(log, name, kind=name, headline=line, inbox=(kept,), waits_on=(name,))
        assert [head.id for head in log.heads(kind=name, key=key)] == [name]
        assert log.find(name, key) == name
        assert log.waiting(name) == [name]
        new, begun = Write("s", "run", NEW, (fact(),), row()), (fact(),)
        waiting = Write("s", "run", NEW, begun, row(waits_on=(name + "x",)))
        keyed = Write("s", "run", NEW, begun, row(), Headline(key=key + "x"))
        for append in (
            Append("a", (Write(name + "x", "run", NEW, begun, row()),)),
            Append("a", (Write("ä" * 301, "run", NEW, begun, row()),)),
            Append("a", (waiting,)),
            Append("a", (keyed,)),
            Append("a", (new,), (InboxKey(name, key + "x", "s"),)),
            Append("a", (new,), (InboxKey(name + "x", key, "s"),)),
        ):
            with pytest.raises(ValueError, match=r"longer than (600|2000) bytes"):
                log.append(append)
        assert log.head("s") is None
