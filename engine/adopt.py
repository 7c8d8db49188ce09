"""A `transitions.Machine` that somebody has, read back into the lists of the dialect."""

from typing import Any

from engine import dialect
from engine.errors import DefinitionError

_CALLBACKS = (
    "prepare_event",
    "before_state_change",
    "after_state_change",
    "finalize_event",
    "on_exception",
    "on_final",
)


def adopt(machine: Any) -> dict[str, Any]:
    """Give a machine as `name`, `states`, `transitions`, `initial` and the rest of a Workflow.

    Raises:
        DefinitionError: It is no machine, or does what is not honoured here.
    """
    if not all(hasattr(machine, part) for part in ("states", "events", "initial")):
        raise DefinitionError(f"{machine!r} is no transitions.Machine")
    kinds = {kind.__name__ for kind in type(machine).__mro__}
    if any("Hierarchical" in kind or kind == "NestedState" for kind in kinds):
        raise DefinitionError("the machine is hierarchical; write flat states")
    if machine.has_queue:
        raise DefinitionError(
            "the machine is `queued`; leave it out: triggers are always taken one after another"
        )
    for callback in _CALLBACKS:
        if getattr(machine, callback, None):
            raise DefinitionError(
                f"the machine has {callback!r}: a callback would work outside the log;"
                " do the work in a step of a state's name"
            )
    return {
        "name": machine.name.removesuffix(": ") or "machine",
        "states": [dialect.from_state(state) for state in machine.states.values()],
        "transitions": [
            row
            for trigger, event in machine.events.items()
            for source in machine.states
            for row in _rows(machine, trigger, event.transitions.get(source, ()))
        ],
        "initial": machine.initial,
        "ignore_invalid_triggers": bool(machine.ignore_invalid_triggers),
    }


def _rows(machine: Any, trigger: str, edges: Any) -> list[dict[str, Any]]:
    if machine.auto_transitions and trigger.removeprefix("to_") in machine.states:
        return []  # `to_<state>` from everywhere: the library's own, not the author's
    rows = []
    for edge in edges:
        row: dict[str, Any] = {"trigger": trigger, "source": edge.source, "dest": edge.dest}
        row["conditions"] = [c.func for c in edge.conditions if c.target]
        row["unless"] = [c.func for c in edge.conditions if not c.target]
        for callback in ("prepare", "before", "after"):
            if getattr(edge, callback):
                row[callback] = getattr(edge, callback)
        rows.append(row)
    return rows
