"""One round: chaos, the wait until everything has settled, and what the judge finds."""

import contextlib
from collections import Counter
from dataclasses import dataclass

from tests.playhead.served import wait_until
from tests.soak import application
from tests.soak.beside import Beside
from tests.soak.breach import Breach
from tests.soak.chaos import Chaos
from tests.soak.daemons import Daemons
from tests.soak.following import Follower, Watcher
from tests.soak.gathering import gather
from tests.soak.judge import judge
from tests.soak.options import Options
from tests.soak.record import Record
from tests.soak.sending import Sender
from tests.soak.settling import Settled, settle


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """What happened in a round, in a line, and which promises were broken."""

    line: str
    breaches: list[Breach]


def play(options: Options) -> Played:
    """Play one round. *Touches the world: processes, files and the log of its options.*"""
    (options.folder / "inbox").mkdir()
    with contextlib.ExitStack() as stack:
        engine = application.reader(options.url)
        stack.callback(engine.close)
        daemons = Daemons(options)
        stack.callback(daemons.close)
        follower, watcher = Follower(options), Watcher(options.url)
        stack.callback(watcher.close)
        stack.callback(follower.close)
        with contextlib.ExitStack() as asking:
            sender = Sender(options)
            asking.callback(sender.close)
            beside = Beside(options)
            asking.callback(beside.close)
            chaos = Chaos(options, daemons, follower, sender.down)
            chaos.play()
        settled = settle(engine, daemons, options)
        daemons.terminate()
        last = engine.log.last_position()
        with contextlib.suppress(AssertionError):  # the judge tells what was not handed out
            wait_until(lambda: follower.last >= last and last in watcher.seen[-1:])
        record = gather(
            engine,
            options,
            left=tuple(settled.left),
            keys=sender.keys,
            dropped=tuple(sender.dropped),
            followed=tuple((begun, tuple(went)) for begun, went in follower.lives()),
            watched=tuple(watcher.seen),
            kills=chaos.done["kill"],
            exits=daemons.ended,
            faults=(*sender.faults, *watcher.faults, *beside.faults),
        )
    breaches = judge(record)
    return Played(line=_line(options, chaos.done, settled, record), breaches=breaches)


def _line(options: Options, acts: Counter[str], settled: Settled, record: Record) -> str:
    types = Counter(event.type for life in record.lives for event in life.events)
    done = ", ".join(f"{act} {count}" for act, count in acts.most_common())
    return (
        f"{options.kind} seed {options.seed}: {done}; {len(record.keys)} sent,"
        f" {len(record.lives)} runs, {len(record.positions)} events,"
        f" {types['step.lost']} lost, {types['step.quarantined']} quarantined;"
        f" settled in {settled.seconds:.1f} s of {settled.bound:.0f}"
    )
