"""Whatever is done in whatever order, the SQL log answers as the reference in memory does."""

import os

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from eventstore import open_log
from eventstore.errors import Fenced, KeyTaken, LogError, StreamUnknown, WrongExpectedVersion
from eventstore.event import NEW
from eventstore.store import Append, Headline, InboxKey, Row, WorkerRow, Write
from eventstore.testing import fact

STREAMS = st.sampled_from(["a", "b", "c", "d"])
WORKERS = st.sampled_from(["w1", "w2", "w3"])
NAMES = st.lists(st.sampled_from(["x", "y"]), unique=True, max_size=2).map(tuple)
TIMES = st.integers(0, 20)
ROWS = st.builds(
    Row,
    status=st.sampled_from(["running", "waiting"]),
    due=st.none() | TIMES,
    waits_on=NAMES,
    owner=st.none() | WORKERS,
    needs=st.none() | st.sampled_from(["gpu", "v1"]),
)
LINES = st.builds(
    Headline,
    name=st.sampled_from(["n", "m"]),
    tags=st.dictionaries(st.sampled_from(["t", "u"]), st.sampled_from(["1", "2"])),
    priority=st.integers(-1, 2),
)
EVENTS = st.lists(st.builds(fact, at=TIMES), max_size=3).map(tuple)


class Twins(RuleBasedStateMachine):
    """The same calls on both logs."""

    tips = Bundle("tips")
    appends = Bundle("appends")

    @initialize()
    def open(self):
        self.logs = [open_log("memory://"), open_log("sqlite:///:memory:")]
        self.ids = 0

    def both(self, call):
        """Give what both logs answer; what they raise must be of one kind and tell the same."""
        answers = []
        for log in self.logs:
            try:
                answers.append(call(log))
            except (Fenced, KeyTaken, WrongExpectedVersion, StreamUnknown) as error:
                answers.append((type(error), vars(error)))
            except (LogError, ValueError) as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[0]

    @rule(target=tips, stream=STREAMS)
    def look(self, stream):
        head = self.both(lambda log: log.head(stream))
        return stream, head.tip if head else NEW

    @rule(
        target=appends,
        first=tips,
        others=st.lists(tips, max_size=2),
        events=EVENTS,
        row=st.none() | ROWS,
        line=LINES,
        key=st.none() | st.sampled_from(["k1", "k2"]),
    )
    def append(self, first, others, events, row, line, key):
        writes = {first[0]: Write(first[0], "run", first[1], events, row, line)}
        for stream, tip in others:
            writes.setdefault(stream, Write(stream, "run", tip, (fact(),), row))
        self.ids += 1
        inbox = (InboxKey("s", key, first[0]),) if key else ()
        append = Append(f"id{self.ids}", tuple(writes.values()), inbox)
        self.both(lambda log: log.append(append))
        return append

    @rule(append=appends)
    def append_again(self, append):
        self.both(lambda log: log.append(append))

    @rule(
        worker=WORKERS,
        now=TIMES,
        limit=st.integers(1, 3),
        offers=st.sampled_from([(), ("gpu",), ("gpu", "v1")]),
        names=st.sampled_from([(), ("n",)]),
        skip=st.sampled_from([(), ("a",)]),
    )
    def claim(self, worker, now, limit, offers, names, skip):
        self.both(
            lambda log: log.claim(
                worker, kind="run", now=now, limit=limit, offers=offers, names=names, skip=skip
            )
        )

    @rule(tip=tips, due=st.none() | TIMES)
    def release(self, tip, due):
        self.both(lambda log: log.release(tip[0], tip[1], due=due))

    @rule(name=st.sampled_from(["x", "y"]), now=TIMES, limit=st.integers(1, 2))
    def wake(self, name, now, limit):
        self.both(lambda log: log.wake(name, now=now, limit=limit))

    @rule(worker=WORKERS, until=TIMES, offers=st.sampled_from([(), ("gpu",), ("v1",)]))
    def enter(self, worker, until, offers):
        self.both(lambda log: log.enter(WorkerRow(worker, worker, "h", 1, 0, until, offers)))

    @rule(worker=WORKERS, now=TIMES)
    def leave(self, worker, now):
        self.both(lambda log: log.leave(worker, now=now))

    @rule(now=TIMES)
    def bury(self, now):
        self.both(lambda log: log.bury(now=now))

    @rule(tip=tips, now=TIMES)
    def purge(self, tip, now):
        self.both(lambda log: log.purge({tip[0]: tip[1]}, now=now))

    @rule(before=TIMES, limit=st.integers(1, 3), after=st.sampled_from(["", "a", "d"]))
    def old(self, before, limit, after):
        self.both(
            lambda log: log.old_heads(kind="run", before=before, limit=limit, after=after)
        )

    @rule(since=st.none() | TIMES, tags=st.sampled_from([None, {}, {"t": "1"}]))
    def lists(self, since, tags):
        self.both(lambda log: log.heads(kind="run", since=since, tags=tags, limit=3))

    @rule(stream=STREAMS, at=TIMES, after=st.integers(0, 3))
    def read(self, stream, at, after):
        self.both(
            lambda log: [
                msgspec.structs.replace(e) for e in log.read(stream, after=after, at=at)
            ]
        )

    @rule(after=st.none() | TIMES)
    def next_due(self, after):
        self.both(lambda log: log.next_due(kinds=["run"], after=after))

    @rule(key=st.sampled_from(["k1", "k2"]))
    def find(self, key):
        self.both(lambda log: log.find("s", key))

    @invariant()
    def all_is_alike(self):
        if hasattr(self, "logs"):
            self.both(lambda log: log.heads(kind="run"))
            self.both(
                lambda log: [msgspec.structs.replace(w, renewed=0) for w in log.workers()]
            )
            self.both(lambda log: [log.owned(name) for name in ("w1", "w2", "w3")])
            self.both(lambda log: [log.waiting(name, limit=9) for name in ("x", "y")])
            self.both(lambda log: [(e.stream, e.version, e.hash) for e in log.read_all()])
            self.both(lambda log: log.statuses(("a", "b", "c", "d", "e")))
            self.both(lambda log: [log.last_position(before=at) for at in (0, 10, 99)])
            assert list(self.logs[1].verify()) == []

    def teardown(self):
        for log in getattr(self, "logs", ()):
            log.close()


Twins.TestCase.settings = settings(
    max_examples=int(os.environ.get("PLAYHEAD_EXAMPLES", "100")),
    stateful_step_count=30,
    deadline=None,
)
TestTwins = Twins.TestCase
