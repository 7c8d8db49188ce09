"""Machines in the dialect of `transitions`: what is honoured, what is refused, with advice."""

import datetime
import re
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest
import transitions
from transitions.extensions import HierarchicalMachine
from transitions.extensions.states import Timeout, add_state_features

from engine.context import Context
from engine.core.define import Delay
from engine.errors import DefinitionError
from engine.steps import Signal, Timer, step
from engine.workflow import Workflow


class Place(Enum):
    idle = 1
    busy = 2
    ended = 3


@add_state_features(Timeout)
class Timed(transitions.Machine):
    """A machine with the library's own timeouts."""


@step
def draft(topic: str, revise: dict[str, Any] | None = None) -> str: ...


@step
def release(draft: str, approve: dict[str, Any]) -> str: ...


def few_drafts(ctx: Context) -> bool:
    return ctx.visits("draft") < 5


def many_drafts(draft: str) -> bool:
    return bool(draft)


def machine(**options: Any) -> Workflow:
    """Build a machine of two states, but for what is given."""
    given: dict[str, Any] = {
        "states": ["a", "b"],
        "transitions": [["go", "a", "b"]],
        "initial": "a",
    }
    return Workflow("m", **given | options)


def rows(workflow: Workflow) -> list[tuple[str, str, str | None]]:
    """Give a machine's edges as trigger, source and dest."""
    return [(e.trigger, e.source, e.dest) for e in workflow.definition.edges]


def refusal(**options: Any) -> str:
    """Give the words with which a machine is refused; they name a line of this file."""
    with pytest.raises(DefinitionError) as caught:
        machine(**options)
    assert re.search(r"test_dialect\.py:\d+\)$", str(caught.value))
    return str(caught.value)


def publish() -> Workflow:
    """Build the machine of the design, as it stands there."""
    return Workflow(
        "publish",
        steps=[draft, release],
        states=[
            "draft",
            {"name": "review", "timeout": 172_800, "on_timeout": "expire"},
            "release",
            "published",
            {"name": "rejected", "outcome": "failed"},
        ],
        transitions=[
            ["done", "draft", "review"],
            {
                "trigger": "revise",
                "source": "review",
                "dest": "draft",
                "conditions": few_drafts,
            },
            ["revise", "review", "rejected"],
            ["approve", "review", "release"],
            ["reject", "review", "rejected"],
            ["expire", "review", "rejected"],
            ["done", "release", "published"],
            ["error", ["draft", "release"], "rejected"],
        ],
        initial="draft",
    )


def test_the_machine_of_the_design_is_built() -> None:
    """States, edges, the guard, the timeout and the outcome are those written."""
    definition = publish().definition
    assert definition.initial == "draft"
    assert definition.states[1].timeout == Delay(us=172_800 * 10**6)
    assert definition.states[1].on_timeout == "expire"
    assert [s.outcome for s in definition.states[3:]] == ["succeeded", "failed"]
    assert definition.edges[1].conditions == ("few_drafts",)
    assert [g.name for g in definition.guards] == ["few_drafts"]
    assert publish().plan.finals == {"published", "rejected"}
    assert publish().hash == publish().hash


def test_parameters_of_a_machine_may_form_a_circle() -> None:
    """A step takes another's latest output, its own, or the payload of a trigger."""

    @step(name="draft")
    def redraft(topic: str, release: str = "", draft: str = "", approve: int = 0) -> str: ...

    @step(name="release")
    def rerelease(draft: str) -> str: ...

    workflow = machine(
        steps=[redraft, rerelease],
        states=["draft", "release"],
        transitions=[["done", "draft", "release"], ["approve", "release", "draft"]],
        initial="draft",
    )
    kinds = {p.name: p.kind for p in workflow.plan.nodes["draft"].params}
    assert kinds == {"topic": "input", "release": "node", "draft": "node", "approve": "payload"}
    assert [i.name for i in workflow.definition.inputs] == ["topic"]


def test_a_payloads_type_is_its_readers() -> None:
    """What a step declares for a trigger's parameter is what the payload must be."""
    workflow = publish()
    assert workflow.code.payloads["approve"] == dict[str, Any]
    assert workflow.code.payloads["reject"] is Any
    declared = {t.name: t.type for t in workflow.definition.triggers}
    assert declared["approve"] == "dict[str, Any]"


def test_a_signal_declares_a_payload() -> None:
    """A Signal in steps= of a machine gives its trigger a type, and is no node."""
    workflow = machine(steps=[Signal("go", int)])
    assert workflow.code.payloads == {"go": int}
    assert workflow.definition.nodes == ()


def test_a_signal_without_a_trigger_is_refused() -> None:
    """A Signal that names no trigger, or has a timeout, is no machine's; a Timer neither."""
    assert "names no trigger" in refusal(steps=[Signal("gone", int)])
    assert "timeout=" in refusal(steps=[Signal("go", int, timeout=3)])
    assert "'on_timeout'" in refusal(steps=[Timer("go", 3)])


@pytest.mark.parametrize("option", [{"after": "b"}, {"when": few_drafts}])
def test_what_orders_a_pipeline_is_refused(option: dict[str, Any]) -> None:
    """A machine's order is its transitions."""
    ordered = step(name="a", **option)(lambda x=1: x)
    words = refusal(steps=[ordered], transitions=[["done", "a", "b"]])
    assert "a machine does not honour" in words


def test_lists_stars_and_signs_are_spelled_out() -> None:
    """A list is one edge each, `*` all states not final, `=` the source, None stays."""
    workflow = machine(
        states=["a", "b", {"name": "c", "final": True}],
        transitions=[
            ["go", ["a", "b"], "c"],
            ["again", "*", "="],
            ["note", "a", None],
            ["next", "a", "b"],
        ],
    )
    assert rows(workflow) == [
        ("go", "a", "c"),
        ("go", "b", "c"),
        ("again", "a", "a"),
        ("again", "b", "b"),
        ("note", "a", None),
        ("next", "a", "b"),
    ]


def test_a_star_into_an_end_leaves_other_ends_alone() -> None:
    """An abort from everywhere does not make `done` and `aborted` go on."""
    workflow = machine(
        states=["a", "b", "done", "aborted"],
        transitions=[["go", "a", "b"], ["go", "b", "done"], ["abort", "*", "aborted"]],
    )
    assert workflow.plan.finals == {"done", "aborted"}
    assert [r for r in rows(workflow) if r[0] == "abort"] == [
        ("abort", "a", "aborted"),
        ("abort", "b", "aborted"),
    ]


def test_a_star_back_into_the_middle_leaves_no_end() -> None:
    """A reset goes from every state, so that a state with no other way out has one."""
    workflow = machine(transitions=[["go", "a", "b"], ["reset", "*", "a"]])
    assert ("reset", "b", "a") in rows(workflow)
    assert workflow.plan.finals == frozenset()


def test_a_star_comes_after_what_is_named() -> None:
    """A `*` edge behind an unguarded one of the same trigger is the default of the others."""
    workflow = machine(
        states=["a", "b", "c"],
        transitions=[["go", "a", "b"], ["go", "b", "a"], ["go", "*", "a"], ["on", "b", "c"]],
    )
    assert [r for r in rows(workflow) if r[0] == "go"] == [
        ("go", "a", "b"),
        ("go", "b", "a"),
        ("go", "c", "a"),
    ]


def test_enums_are_states() -> None:
    """An Enum class or its members are states by name, as in the library."""
    workflow = machine(
        states=Place,
        transitions=[["go", Place.idle, Place.busy], ["end", "busy", Place.ended]],
        initial=Place.idle,
    )
    assert [s.name for s in workflow.definition.states] == ["idle", "busy", "ended"]
    assert rows(workflow) == [("go", "idle", "busy"), ("end", "busy", "ended")]
    assert workflow.definition.initial == "idle"


def test_guards_are_functions_by_name() -> None:
    """Conditions and unless take one or several; one function may guard many edges."""

    def lots() -> bool: ...

    workflow = machine(
        transitions=[
            {"trigger": "go", "source": "a", "dest": "b", "conditions": [few_drafts]},
            ["go", "a", "a", lots, [few_drafts, many_drafts]],
        ],
    )
    second = workflow.definition.edges[1]
    assert (second.conditions, second.unless) == (("lots",), ("few_drafts", "many_drafts"))
    assert set(workflow.code.guards) == {"lots", "few_drafts", "many_drafts"}
    assert workflow.code.guards["few_drafts"].params[0].kind == "context"


def test_two_guards_of_one_name_are_refused() -> None:
    """A guard is known by its name."""

    def other() -> Any:
        def few_drafts() -> bool: ...

        return few_drafts

    edges = [["go", "a", "b", [few_drafts]], ["go", "a", "a", other()]]
    assert "2 different guards are named 'few_drafts'" in refusal(transitions=edges)


def test_a_guard_by_text_is_refused() -> None:
    """There is no model to look a name up on."""
    assert "write the function itself" in refusal(transitions=[["go", "a", "b", "is_ready"]])


@pytest.mark.parametrize(
    ("timeout", "delay"),
    [
        (2, Delay(us=2_000_000)),
        (0.5, Delay(us=500_000)),
        (timedelta(days=1), Delay(us=86_400_000_000)),
        (datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC), Delay(at=1_893_456_000_000_000)),
    ],
)
def test_a_states_timeout_is_a_delay(timeout: Any, delay: Delay) -> None:
    """Seconds, a timedelta or an aware datetime."""
    workflow = machine(states=[{"name": "a", "timeout": timeout, "on_timeout": "go"}, "b"])
    assert workflow.definition.states[0].timeout == delay


def test_a_states_timeout_may_be_asked() -> None:
    """A function of parameters by name is asked when the wait begins."""

    def patience(ctx: Context, days: int = 2) -> timedelta: ...

    workflow = machine(states=[{"name": "a", "timeout": patience, "on_timeout": "go"}, "b"])
    delay = workflow.definition.states[0].timeout
    assert delay is not None
    assert [p.kind for p in delay.params or ()] == ["context", "input"]
    assert workflow.code.delays["a"].fn is patience
    assert [i.name for i in workflow.definition.inputs] == ["days"]


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("on_enter", "a step of the state's name"),
        ("on_exit", "a step of the next state's name"),
        ("children", "no hierarchy"),
        ("parallel", "no parallel states"),
        ("retries", "retry policy"),
        ("tiemout", "did you mean 'timeout'"),
        ("anything", "known are name, timeout"),
    ],
)
def test_what_a_state_may_not_have_is_refused(key: str, advice: str) -> None:
    """Each refusal says what to write instead."""
    assert advice in refusal(states=[{"name": "a", key: ["x"]}, "b"])


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("before", "a step of the destination's name"),
        ("after", "a step of the destination's name"),
        ("prepare", "in the guard"),
        ("condition", "did you mean 'conditions'"),
    ],
)
def test_what_a_transition_may_not_have_is_refused(key: str, advice: str) -> None:
    """Callbacks that do work are refused in a dict, and by their place in a list."""
    edge = {"trigger": "go", "source": "a", "dest": "b", key: "x"}
    assert advice in refusal(transitions=[edge])


def test_a_callback_by_its_place_is_refused() -> None:
    """The sixth item of a list is `before`."""
    assert "'before'" in refusal(transitions=[["go", "a", "b", None, None, "x"]])
    assert rows(machine(transitions=[["go", "a", "b", None, None]])) == [("go", "a", "b")]


def test_empty_callbacks_are_let_be() -> None:
    """`"before": None` is nothing."""
    edge = {"trigger": "go", "source": "a", "dest": "b", "before": None, "after": []}
    machine(transitions=[edge], states=[{"name": "a", "on_enter": []}, "b"])


def test_a_final_state_has_no_way_out() -> None:
    """`final`, or an outcome, with an outgoing edge is refused."""
    assert "is final" in refusal(states=[{"name": "a", "final": True}, "b"])
    assert "is final" in refusal(states=[{"name": "a", "outcome": "failed"}, "b"])
    assert "'succeeded' or 'failed'" in refusal(states=["a", {"name": "b", "outcome": "no"}])


def test_nested_names_are_hierarchy() -> None:
    """A list where a name belongs is refused."""
    assert "no hierarchy" in refusal(transitions=[["go", "a", ["b"]]])
    assert "no hierarchy" in refusal(transitions=[["go", [["a"]], "b"]])


@pytest.mark.parametrize("edge", [3, ["go", "a"], {"trigger": "go", "source": "a"}, "go"])
def test_half_a_transition_is_refused(edge: Any) -> None:
    """Trigger, source and dest are needed."""
    assert re.search("lacks 'dest'|is no transition", refusal(transitions=[edge]))


def test_a_state_may_ignore_what_it_does_not_take() -> None:
    """It stays for every other signal; what work and timeouts pull is never ignored."""
    workflow = machine(
        states=[{"name": "a", "ignore_invalid_triggers": True}, "b", "c"],
        transitions=[["go", "a", "b"], ["on", "b", "c"], ["error", "b", "c"]],
    )
    assert rows(workflow)[3:] == [("on", "a", None)]
    assert workflow.plan.finals == {"c"}


def test_a_machine_may_ignore_and_defer() -> None:
    """Both settings stand in the definition."""
    workflow = machine(ignore_invalid_triggers=True, defer=["go"])
    assert workflow.definition.ignore_invalid_triggers
    assert workflow.definition.defer == ("go",)


def test_a_machine_of_the_library_is_taken_over() -> None:
    """States, edges, guards and timeouts; the automatic `to_` triggers are left out."""
    made = Timed(
        states=[{"name": "a", "timeout": 3, "on_timeout": "late"}, "b", "c"],
        transitions=[
            {"trigger": "go", "source": "a", "dest": "b", "conditions": few_drafts},
            ["go", "a", "c"],
            ["late", "a", "c"],
        ],
        initial="a",
        name="mine",
    )
    workflow = Workflow.from_machine(made)
    assert workflow.name == "mine"
    assert rows(workflow) == [("go", "a", "b"), ("go", "a", "c"), ("late", "a", "c")]
    assert workflow.definition.edges[0].conditions == ("few_drafts",)
    assert workflow.definition.states[0].on_timeout == "late"
    assert Workflow.from_machine(made, name="other").name == "other"


class Model:
    """A model whose method the library calls by its name."""

    def on_enter_b(self) -> None: ...


@pytest.mark.parametrize(
    ("made", "advice"),
    [
        (lambda: transitions.Machine(states=["a"], initial="a", queued=True), "queued"),
        (lambda: HierarchicalMachine(states=["a"], initial="a"), "hierarchical"),
        (
            lambda: transitions.Machine(Model(), ["a", "b"], "a", [["go", "a", "b"]]),
            "'on_enter'",
        ),
        (
            lambda: transitions.Machine(states=["a"], initial="a", finalize_event=print),
            "'finalize_event'",
        ),
        (object, "no transitions.Machine"),
    ],
)
def test_a_machine_that_does_more_is_refused(made: Any, advice: str) -> None:
    """Queues, hierarchy, model methods and callbacks are no part of the dialect."""
    with pytest.raises(DefinitionError, match=advice):
        Workflow.from_machine(made())
