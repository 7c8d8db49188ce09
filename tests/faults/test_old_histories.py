"""Row 51: new code meets runs that old code began: parked before any effect, and never failed."""

import threading

import pytest

from playhead import Context, Engine, Signal, Workflow, step

called = []


def does(name, *asks, gives=int):
    """Give a step of a name that takes parameters of these names, and leaves a trace."""
    source = f"def {name}({', '.join(f'{ask}: int' for ask in asks)}): return mark({name!r})"
    room = {"mark": lambda what: (called.append(what), 1)[1]}
    exec(source, room)  # noqa: S102 - the parameters' names are what it is about
    made = room[name]
    made.__annotations__["return"] = gives
    return step(made)


def pipeline(*steps):
    return Workflow("w", steps=list(steps))


def old():
    """`a`, then a signal, then `b`, then `c`: it waits for the signal when `a` has run."""
    return pipeline(
        does("a", "x"), Signal("go", int, after=["a"]), does("b", "a", "go"), does("c", "b")
    )


def machine(*, release="release", extra=()):
    """Draft, review, release, published; it waits in the review."""
    return Workflow(
        "w",
        steps=[does("draft"), does(release)],
        states=["draft", "review", release, "published", *extra],
        transitions=[
            ["done", "draft", "review"],
            ["approve", "review", release],
            ["done", release, "published"],
            *(["skip", state, "published"] for state in extra),
            *(["leave", "review", state] for state in extra),
        ],
        initial="draft",
    )


UNFIT = {
    "a step that has run is gone": (
        old, lambda: pipeline(does("b", "x", "go"), Signal("go", int)), "'a'",
    ),
    "it is renamed": (
        old,
        lambda: pipeline(does("a2", "x"), Signal("go", int), does("b", "a2", "go"), does("c", "b")),
        "'a'",
    ),
    "it gives another type": (
        old,
        lambda: pipeline(
            does("a", "x", gives=list[str]), Signal("go", int), does("b", "go"), does("c", "b")
        ),
        "'a' gave int",
    ),
    "a step that has not run stands before it": (
        old,
        lambda: pipeline(does("a", "x", "b"), Signal("go", int), does("b", "go"), does("c", "b")),
        "step 'b' stands before 'a'",
    ),
    "a new step stands before it": (
        old,
        lambda: pipeline(
            does("z", "x"), does("a", "z"), Signal("go", int), does("b", "a", "go"), does("c", "b")
        ),
        "new step 'z' stands before 'a'",
    ),
    "the signal that it waits for is gone": (
        old, lambda: pipeline(does("a", "x"), does("b", "a"), does("c", "b")), "'go'",
    ),
    "the state in which it stands is renamed": (
        machine, lambda: machine(release="ship"), "state 'release' is gone",
    ),
    "it is no machine any more": (
        machine, lambda: pipeline(does("draft")), "a machine",
    ),
}  # fmt: skip
FIT = {
    "a step behind": (
        old,
        lambda: pipeline(
            does("a", "x"), Signal("go", int, after=["a"]), does("b", "a", "go"), does("c", "b"),
            does("d", "c"),
        ),
        ["b", "c", "d"],
    ),
    "steps that have not run, the other way round": (
        old,
        lambda: pipeline(
            does("a", "x"), Signal("go", int, after=["a"]), does("c", "a", "go"), does("b", "c")
        ),
        ["c", "b"],
    ),
    "a step that has not run is gone": (
        old,
        lambda: pipeline(does("a", "x"), Signal("go", int, after=["a"]), does("b", "a", "go")),
        ["b"],
    ),
    "a state beside": (machine, lambda: machine(extra=["limbo"]), ["release"]),
}  # fmt: skip


def begun(url, make):
    """Let old code begin a run until it waits; give its id and the signal it waits for."""
    engine = Engine(url, workflows=[make()])
    run = engine.start("w", {} if make is machine else {"x": 1})
    engine.run_until_idle()
    assert run.status == "waiting"
    engine.close()
    called.clear()
    return run.id, "approve" if make is machine else "go"


@pytest.mark.parametrize("kind", UNFIT)
def test_a_run_that_new_code_does_not_fit_is_parked(file_url, kind):
    """Nothing is called or failed, the reason is told; the old code frees it by `retry`."""
    make, change, reason = UNFIT[kind]
    run, signal = begun(file_url, make)
    old_code = Engine(file_url, workflows=[make()])
    old_code.signal(run, signal, 1)
    new = Engine(file_url, workflows=[change()])
    new.run_until_idle()
    assert called == []
    assert new.get(run).status == "parked"
    events = new.history(run)
    assert reason in events[-1].data["reason"]
    assert "run.redefined" not in [event.type for event in events]
    assert len(events) == [event.type for event in events].index("run.parked") + 1
    new.close()
    old_code.retry(run)
    old_code.run_until_idle()
    assert old_code.get(run).status == "succeeded"
    assert called == (["release"] if make is machine else ["b", "c"])
    old_code.close()


@pytest.mark.parametrize("kind", FIT)
def test_a_run_that_new_code_fits_goes_on(file_url, kind):
    """What has run stands; what is new, or stands elsewhere behind it, is done as it says now."""
    make, change, then = FIT[kind]
    run, signal = begun(file_url, make)
    new = Engine(file_url, workflows=[change()])
    new.signal(run, signal, 1)
    new.run_until_idle()
    assert called == then
    assert new.get(run).status == "succeeded"
    assert [event.type for event in new.history(run)].count("run.redefined") == 1
    new.close()


def test_new_code_beside_old_code_parks_nothing(file_url):
    """While a worker with fitting code lives, a run that this code does not fit is left to it."""
    gate = threading.Event()

    @step
    def hold(x: int, ctx: Context) -> int:
        assert gate.wait(20)
        return x

    one = Engine(file_url, workflows=[pipeline(hold, does("b", "hold"))])
    two = Engine(file_url, workflows=[pipeline(does("other", "x"))])
    called.clear()
    with one, two:
        run = one.start("w", x=1)
        gate.set()
        assert one.get(run.id).result(timeout=50) == 1
    kinds = [event.type for event in one.history(run)]
    assert "run.parked" not in kinds
    assert called == ["b"]
