"""Joins: who waits for whom. Structure only; a settled node counts down its consumers. Pure."""

from engine.core.plan import Plan
from engine.core.run import SETTLED, Run


def settle(run: Run, plan: Plan, name: str) -> None:
    """Count a settled node down at its consumers and join those that wait for nothing more."""
    todo = [name]
    while todo:
        for consumer in plan.consumers.get(todo.pop(), ()):
            left = run.waiting.get(consumer)
            if left is None:
                left = plan.upstream_count[consumer]
            run.waiting[consumer] = left = left - 1
            if not left and join(run, plan, consumer):
                todo.append(consumer)


def join(run: Run, plan: Plan, name: str) -> bool:
    """Note what a joined node owes; True if it is settled already (a signal that came early)."""
    node = plan.nodes[name]
    if node.kind in ("step", "workflow"):
        run.ready[name] = None
    elif name in run.signals:
        return True
    elif node.delay is None:
        run.awaiting[name] = None
    else:
        run.begins[name] = None
    return False


def begin(run: Run, plan: Plan) -> None:
    """Begin a life: the roots are joined, a machine owes its first state."""
    run.begun = True
    run.open = plan.step_count
    if plan.definition.is_machine:
        run.pending = ("initial", run.version)
        return
    for name in plan.roots:
        if join(run, plan, name):
            settle(run, plan, name)


def rejoin(run: Run, plan: Plan) -> None:
    """Work the joins out again under another definition; costs one pass over its nodes."""
    run.waiting = {}
    run.ready = {}
    run.awaiting = {}
    run.begins = {}
    run.open = 0
    for name, node in plan.nodes.items():
        state = run.step(name).state
        if node.kind in ("step", "workflow") and state not in SETTLED:
            run.open += 1
        left = sum(not _is_settled(run, plan, up) for up in plan.upstreams[name])
        if left != plan.upstream_count[name]:
            run.waiting[name] = left
        touched = name in run.timers or name in run.signals or name in run.outputs
        if not left and not touched and state == "blocked":
            join(run, plan, name)


def _is_settled(run: Run, plan: Plan, name: str) -> bool:
    """Tell whether a node counts as done at its consumers' joins."""
    state = run.signals.get(name)
    if state is None:
        state = run.step(name).state
        if state != "failed":
            return state in SETTLED or name in run.outputs
    elif state == "received":  # one that came early counts when its wait would begin
        return all(_is_settled(run, plan, up) for up in plan.upstreams[name])
    return name in plan.survivable  # failed or timed out
