"""What a machine owes an answer: the trigger of its work, and signals kept in order. Pure."""

from engine.core.plan import Plan
from engine.core.run import Run


def owe_trigger(run: Run, plan: Plan, trigger: str, version: int) -> None:
    """A trigger that no edge of the state knows is owed nothing: the state waits for a signal."""
    if (run.place, trigger) not in plan.edges:
        return
    if run.pending is None:
        run.pending = (trigger, version)
    else:
        run.later[version] = trigger


def answered(run: Run) -> None:
    """Turn to the trigger that is owed next."""
    version = next(iter(run.later), None)
    run.pending = None if version is None else (run.later.pop(version), version)


def sort_signals(run: Run, plan: Plan) -> None:
    """Keep the deferred signals that the present state does not take out of the inbox."""
    if not plan.definition.defer or not (run.inbox or run.deferred):
        return
    unanswered = dict(sorted({**run.inbox, **run.deferred}.items()))
    run.inbox, run.deferred = {}, {}
    for version, name in unanswered.items():
        kept = name in plan.definition.defer and (run.place, name) not in plan.edges
        (run.deferred if kept else run.inbox)[version] = name
