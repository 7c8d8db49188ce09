"""Whether a run that began under one definition can go on under another. Pure."""

from engine.core.plan import Plan
from engine.core.run import Run

_ANY = ("", "Any", "typing.Any")


def _meet(before: str, after: str) -> bool:
    return before == after or before in _ANY or after in _ANY


def misfit(run: Run, before: Plan, after: Plan) -> str | None:
    """Say why a run cannot go on under `after`; None: it fits. *Pure.*

    All that is recorded must exist there under the same name, with types that still meet. Steps
    added behind what has run, removed before they ran, or changed in options fit.
    """
    if before.definition.is_machine != after.definition.is_machine:
        return "one is a pipeline, the other a machine"
    if run.place is not None and run.place not in after.states:
        return f"state {run.place!r} is gone"
    touched = {name for name, step in run.steps.items() if step.state != "blocked"}
    touched |= set(run.signals) | set(run.timers) | set(run.awaiting)
    return (
        _new_input(before, after)
        or _lost_node(touched, before, after)
        or (None if after.definition.is_machine else _new_before(touched, before, after))
    )


def _new_input(before: Plan, after: Plan) -> str | None:
    given = {item.name for item in before.definition.inputs}
    for item in after.definition.inputs:
        if item.required and item.name not in given:
            return f"input {item.name!r} is new and required"
    return None


def _lost_node(touched: set[str], before: Plan, after: Plan) -> str | None:
    for name in touched:
        if name in after.states and name not in before.nodes:
            continue
        old, new = before.nodes.get(name), after.nodes.get(name)
        if new is None or (old is not None and old.kind != new.kind):
            return f"{name!r} has run or is awaited, and is gone"
        if old is not None and not _meet(old.returns, new.returns):
            return f"{name!r} gave {old.returns}, and is now {new.returns}"
    return None


def _new_before(touched: set[str], before: Plan, after: Plan) -> str | None:
    for name in after.nodes:
        if name in touched:
            continue
        stood = before.consumers.get(name, ())
        for consumer in after.consumers.get(name, ()):
            if consumer in touched and consumer not in stood:
                what = "step" if name in before.nodes else "new step"
                return f"{what} {name!r} stands before {consumer!r}, which has run"
    return None
