"""Events of runs that no engine can have written: each is told, and nothing else is."""

import pytest

START = '{"visit": 1, "attempt": 1, "worker": "w"}'


def _illegal(f, shop):
    """A move that the table of steps does not have."""
    f.event(shop.plain, 3, source="blocked")
    return shop.plain, "step.succeeded blocked -> succeeded is no legal move"


def _otherwise(f, shop):
    """A legal move from a state in which the step is not."""
    f.repeat(shop.plain, 7)
    return (
        shop.plain,
        "event 9 (step.succeeded of 'shaky'): step.succeeded of 'shaky' says it was",
    )


def _unknown(f, shop):
    """A type that nobody knows."""
    f.event(shop.plain, 3, type="step.vanished")
    return shop.plain, "type 'step.vanished' is unknown"


def _newer(f, shop):
    """A shape that this program does not read yet."""
    f.event(shop.plain, 3, type_version=9)
    return (
        shop.plain,
        "shape 9, and this program reads shape 1; it may come from a newer Playhead",
    )


def _unreadable(f, shop):
    """Data of another shape than the type's."""
    f.event(shop.plain, 3, data='{"attempt": "two"}')
    return shop.plain, "its data cannot be read: Expected `int`, got `str`"


def _headless(f, shop):
    """A run without its first event."""
    f.remove(shop.plain, 1)
    return (
        shop.plain,
        "event 1 (step.started of 'read'): the run does not begin with run.started",
    )


def _no_such_step(f, shop):
    """A start of a step that the definition does not have."""
    f.repeat(
        shop.waiting, 1, type="step.started", subject="nobody", source="blocked",
        dest="running", data=START,
    )  # fmt: skip
    f.row(shop.waiting, status="running")
    return shop.waiting, "event 4 (step.started of 'nobody'): the definition has no step"


def _too_soon(f, shop):
    """A start before the signal that the step waits for has come."""
    f.repeat(
        shop.waiting, 1, type="step.started", subject="decide", source="blocked",
        dest="running", data=START,
    )  # fmt: skip
    f.row(shop.waiting, status="running")
    return shop.waiting, "it starts, and what it waits for is not settled"


def _skipped_attempt(f, shop):
    """The first attempt is called the second."""
    f.told(shop.plain, 2, attempt=2)
    f.told(shop.plain, 3, attempt=2)
    return shop.plain, "it starts attempt 2 of visit 1; the next one is attempt 1 of visit 1"


def _no_start(f, shop):
    """A result without a start: the attempt it tells of was never begun."""
    f.told(shop.plain, 3, attempt=7)
    return shop.plain, "it tells of attempt 7, and attempt 1 was started"


def _no_value(f, shop):
    """A result of the run that lies in an event which holds none."""
    f.told(shop.plain, 8, result=2)
    return shop.plain, "its result lies in event 2, which holds none"


def _wrong_loss(f, shop):
    """A loss that names another worker than the one who had started."""
    f.event(shop.plain, 5, type="step.lost", dest="lost", data='{"worker": "nobody"}')
    f.event(shop.plain, 6, source="lost")
    return shop.plain, "event 5 (step.lost of 'shaky'): it names worker nobody, and "


def _early_retry(f, shop):
    """A retry four seconds before it was due."""
    for version in (6, 7):
        f.run("UPDATE event SET at = at - 9000000 WHERE stream = ? AND version = ?",
              shop.plain, version)  # fmt: skip
    f.seal(shop.plain)
    return shop.plain, "it happened 4000000 microseconds before it was due"


def _early_timer(f, shop):
    """A timer that fired an hour too early."""
    f.event(shop.answered, 4, type="timer.fired", dest="fired")
    return shop.answered, "it happened 3600000000 microseconds before it was due"


def _other_timer(f, shop):
    """A timer that fired for another moment than the one it was set to."""
    f.event(shop.answered, 4, type="timer.fired", dest="fired", data='{"due": 5}')
    return shop.answered, "it says that it was due at 5, and it was set to"


def _idle_timer(f, shop):
    """A timer that nobody waits for."""
    f.repeat(shop.waiting, 2, subject="decide")
    return shop.waiting, "event 4 (timer.set of 'decide'): no wait of this name begins"


def _no_edge(f, shop):
    """A move of a machine that its table does not have."""
    f.event(shop.paper, 6, subject="approve")
    return shop.paper, "no edge review -approve-> draft"


def _first_state(f, shop):
    """A machine that begins in another state than its initial one."""
    f.run("DELETE FROM event WHERE stream = ? AND version > 2", shop.paper)
    f.event(shop.paper, 2, dest="review")
    f.row(shop.paper, status="waiting", label='{"state":"review"}')
    return shop.paper, "the machine begins in 'draft', not in 'review'"


def _other_visit(f, shop):
    """A visit that is counted wrong."""
    f.told(shop.paper, 11, visit=3)
    return shop.paper, "it is told as visit 3 of 'published', and it is visit 1"


def _no_signal(f, shop):
    """A move by a signal that never came."""
    f.told(shop.paper, 11, payload_at=4)
    return shop.paper, "it answers the signal of event 4, and none of that version waits"


def _signal_elsewhere(f, shop):
    """A machine's signal in a state in which the machine is not."""
    f.event(shop.paper, 10, source="draft", dest="draft")
    return shop.paper, "it is told in state 'draft', and the machine is in 'review'"


def _signal_again(f, shop):
    """A pipeline's signal that comes after it has come."""
    f.event(shop.answered, 5, source="received")
    return shop.answered, "received -> received cannot follow state pending"


def _key_twice(f, shop):
    """A key of a signal that counts a second time."""
    f.repeat(
        shop.waiting, 1, type="signal.received", subject="approval", source="pending",
        dest="received", data='{"payload": true, "key": "x"}',
    )  # fmt: skip
    f.repeat(shop.waiting, 4, type="signal.refused", source="received")
    f.row(shop.waiting, status="running")
    return (
        shop.waiting,
        "event 5 (signal.refused of 'approval'): its key 'x' has counted before",
    )


def _two_owners(f, shop):
    """Two workers that write in one epoch."""
    f.told(shop.plain, 4, worker="thief")
    return shop.plain, "worker thief writes in epoch 1, which is "


def _other_epoch(f, shop):
    """A result that is told in another epoch than the one in which its attempt began."""
    f.run("UPDATE event SET epoch = 2 WHERE stream = ? AND version > 2", shop.plain)
    f.seal(shop.plain)
    return shop.plain, "its attempt began in epoch 1, and epoch 2 tells its end"


def _epoch_back(f, shop):
    """An epoch that goes down."""
    f.event(shop.plain, 8, epoch=1)
    return shop.plain, "event 8 (run.succeeded of 'run'): epoch 1 follows 2"


FORGERIES = (
    _illegal, _otherwise, _unknown, _newer, _unreadable, _headless, _no_such_step, _too_soon,
    _skipped_attempt, _no_start, _no_value, _wrong_loss, _early_retry, _early_timer,
    _other_timer, _idle_timer, _no_edge, _first_state, _other_visit, _no_signal,
    _signal_elsewhere, _signal_again, _key_twice, _two_owners, _other_epoch, _epoch_back,
)  # fmt: skip


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__.strip("_"))
def test_what_no_engine_can_have_written(forge, shop, forger):
    """With the chain sealed again only the deep look tells it, once, with its stream."""
    forger.run("DELETE FROM snapshot")  # a snapshot that differs too is the next file's fact
    shop.finds(*forge(forger, shop))
