"""What cannot be right is refused when the workflow is built, with the line and the near miss."""

import dataclasses
import linecache
import re
from datetime import timedelta

import pytest
from transitions import Machine

from playhead import (
    CircuitBreaker,
    Context,
    DefinitionError,
    Engine,
    Outcome,
    Signal,
    Timer,
    Workflow,
    step,
)


@dataclasses.dataclass
class Page:
    words: list[str]


@dataclasses.dataclass
class Price:
    amount: float


@step
def enrich(text: str) -> Page:
    return Page(text.split())


@step
def price(text: str) -> Price:
    return Price(1.0)


@step
def work(x: int) -> int:
    return x


def refused(make, *words, line=None):
    """Have a definition refused; the message holds the words and names a line of this file."""
    with pytest.raises(DefinitionError) as caught:
        make()
    message = str(caught.value)
    for word in words:
        assert word in message, message
    found = re.findall(r"test_definitions\.py:(\d+)", message)
    assert found, f"no source line in: {message}"
    if line is not None:
        lines = [linecache.getline(__file__, int(number)) for number in found]
        assert any(line in text for text in lines), f"{lines} for: {message}"
    return message


def machine(states, transitions, initial="a", **options):
    """Give a machine."""
    return Workflow("m", states=states, transitions=transitions, initial=initial, **options)


# --- pipelines -----------------------------------------------------------------------------


def test_an_input_near_the_name_of_a_step():
    """An input called `enrihc` beside a step `enrich` is taken for what it is: a slip."""

    @step
    def tell(enrihc: Page) -> int:
        return 1

    refused(lambda: Workflow("w", steps=[enrich, tell]), "enrihc", "enrich")


def test_an_input_unlike_any_step_is_an_input():
    """Names that are not near any step's name are inputs."""

    @step
    def tell(enrich: Page, language: str) -> int:
        return 1

    Workflow("w", steps=[enrich, tell])


def test_types_that_cannot_meet():
    """A producer and a consumer whose types cannot meet are refused, with both named."""

    @step
    def tell(price: Page) -> int:
        return 1

    refused(lambda: Workflow("w", steps=[price, tell]), "price", "tell", "Price", "Page")


def test_simple_types_that_cannot_meet():
    """An int that is taken as a list cannot be right."""

    @step
    def tell(work: list[str]) -> int:
        return 1

    refused(lambda: Workflow("w", steps=[work, tell]), "work", "tell")


def test_types_that_meet_otherwise_are_fine():
    """A wider type, an optional, an `Outcome`, or no annotation at all meet."""

    @step
    def one(work: float) -> int:
        return 1

    @step
    def two(work: int | None = None) -> int:
        return 1

    @step
    def three(work: Outcome[int]) -> int:
        return 1

    @step
    def four(work) -> int:
        return 1

    @step
    def five(enrich: dict) -> int:
        return 1

    Workflow("w", steps=[work, enrich, one, two, three, four, five])


def test_an_outcome_of_a_type_that_cannot_meet():
    """The type inside an `Outcome` is checked too."""

    @step
    def tell(price: Outcome[Page]) -> int:
        return 1

    refused(lambda: Workflow("w", steps=[price, tell]), "price", "tell")


def test_a_signals_type_is_checked():
    """A `Signal`'s type and the parameter that receives it must be able to meet."""

    @step
    def tell(approval: Page) -> int:
        return 1

    refused(lambda: Workflow("w", steps=[Signal("approval", Price), tell]), "approval", "tell")


def test_two_steps_that_ask_different_types_of_one_input():
    """One input annotated in two ways that no value satisfies is refused."""

    @step
    def one(text: str) -> int:
        return 1

    @step
    def two(text: list[int]) -> int:
        return 1

    refused(lambda: Workflow("w", steps=[one, two]), "text")


def test_a_cycle():
    """A cycle among parameters is refused, and shown."""

    @step
    def chicken(egg: int) -> int:
        return egg

    @step
    def egg(chicken: int) -> int:
        return chicken

    refused(lambda: Workflow("w", steps=[chicken, egg]), "circle", "chicken", "egg")


def test_a_step_that_takes_itself():
    """A pipeline's step that names itself is a cycle."""

    @step
    def count(count: int = 0) -> int:
        return count

    refused(lambda: Workflow("w", steps=[count]), "count")


def test_a_cycle_through_after_and_when():
    """`after=` and `when` close a cycle too."""

    @step(after=["second"])
    def first(x: int) -> int:
        return x

    @step(when=lambda first: True)  # noqa: ARG005
    def second(x: int) -> int:
        return x

    refused(lambda: Workflow("w", steps=[first, second]), "circle")


def test_an_unknown_name_in_after():
    """`after=` of a name that is no step is refused with the near one."""

    @step(after=["enrihc"])
    def tell(x: int) -> int:
        return x

    refused(lambda: Workflow("w", steps=[enrich, tell]), "enrihc", "enrich")


def test_an_unknown_name_in_the_after_of_a_signal_or_timer():
    """The same holds for `Signal` and `Timer`."""
    for one in (Signal("go", after=["wrk"]), Timer("go", 5, after=["wrk"])):
        refused(lambda one=one: Workflow("w", steps=[work, one]), "wrk", "work")


def test_two_steps_of_one_name():
    """Two steps of one name are refused."""
    other = step(lambda y: y, name="work")
    refused(lambda: Workflow("w", steps=[work, other]), "work")


def test_a_step_and_a_signal_of_one_name():
    """A step and a `Signal` of one name are refused."""
    refused(lambda: Workflow("w", steps=[work, Signal("work")]), "work")


def test_on_open_fallback_without_a_fallback():
    """`on_open="fallback"` needs a fallback; the step's line is named."""

    @step(breaker=CircuitBreaker("api"), on_open="fallback")
    def ask(x: int) -> int:
        return x

    refused(lambda: Workflow("w", steps=[ask]), "ask", "fallback")


def test_the_line_is_that_of_the_step():
    """The error names the line where the offending step stands."""

    @step
    def the_culprit(price: Page) -> int:
        return 1

    with pytest.raises(DefinitionError) as caught:
        Workflow("w", steps=[price, the_culprit])
    lines = re.findall(r"test_definitions\.py:(\d+)", str(caught.value))
    near = "".join(
        linecache.getline(__file__, int(number) + more) for number in lines for more in (0, 1)
    )
    assert "the_culprit" in near or "def price" in near


@pytest.mark.parametrize(
    "options",
    [
        {"on_lost": "never"},
        {"on_open": "explode"},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": "soon"},
        {"breaker": "api"},
        {"retry": "often"},
        {"retry": 3},
        {"when": True},
        {"after": 3},
        {"name": 5},
        {"name": "a/b"},
        {"name": "a[0]"},
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense(options):
    """An option of the wrong kind or value is refused and named."""
    (key,) = options
    with pytest.raises(DefinitionError, match=key):
        Workflow("w", steps=[step(work.fn, **options)])


def test_what_is_no_step_is_refused():
    """What stands in `steps=` must be a step; a plain function is told about `@step`."""

    def plain(x: int) -> int:
        return x

    refused(lambda: Workflow("w", steps=[plain]), "plain", "@step")


@pytest.mark.parametrize("kind", ["*args", "**kwargs", "positional"])
def test_parameters_without_a_name_are_refused(kind):
    """`*args`, `**kwargs` and positional-only parameters name nothing."""

    def star(*args) -> int: ...

    def stars(**kwargs) -> int: ...

    def positional(x, /) -> int: ...

    made = {"*args": star, "**kwargs": stars, "positional": positional}[kind]
    if kind == "positional":
        try:
            workflow = Workflow("w", steps=[step(made)])
        except DefinitionError:
            return
        Engine("sqlite:///:memory:", workflows=[workflow]).run(workflow, x=1)
        return
    with pytest.raises(DefinitionError, match=r"args|kwargs"):
        Workflow("w", steps=[step(made)])


def test_an_empty_workflow_and_an_empty_name():
    """A workflow needs a name and something to do."""
    refused(lambda: Workflow("", steps=[work]))
    refused(lambda: Workflow("w"))


def test_an_async_when_is_refused():
    """`when` and guards are plain functions: a coroutine is always true."""

    async def maybe(x):
        return False

    with pytest.raises(DefinitionError, match=r"maybe|when"):
        Workflow("w", steps=[step(work.fn, when=maybe)])


def test_an_async_guard_is_refused():
    """A guard that is a coroutine function would always say yes, and is refused."""

    async def maybe() -> bool:
        return False

    edge = {"trigger": "go", "source": "a", "dest": "b", "conditions": maybe}
    with pytest.raises(DefinitionError, match="maybe"):
        machine(["a", "b"], [edge])


def test_a_fallback_that_takes_something_else():
    """A fallback gets the same inputs: what the step does not have is refused."""

    @step
    def ask(x: int) -> int:
        return x

    @ask.fallback
    def offline(y: int, ctx: Context) -> int:
        return y

    refused(lambda: Workflow("w", steps=[ask]), "y")


def test_later_features_say_so():
    """What this version does not have is refused, not ignored."""
    for options in (
        {"each": "pages"},
        {"compensate": print},
        {"executor": "dask"},
        {"join": "any"},
    ):
        with pytest.raises(DefinitionError):
            Workflow("w", steps=[step(work.fn, **options)])


# --- machines ------------------------------------------------------------------------------


def test_an_unreachable_state():
    """A state that no edge reaches is refused and named."""
    refused(lambda: machine(["a", "b", "island"], [["go", "a", "b"]]), "island")


def test_a_dead_end():
    """A working state whose `done` and signals have no edge is a dead end."""
    refused(
        lambda: Workflow(
            "m",
            steps=[work],
            states=["work", "end"],
            transitions=[["error", "work", "end"]],
            initial="work",
        ),
        "work",
        "dead end",
    )


def test_a_shadowed_edge():
    """An edge behind one without a guard is never taken, and is refused."""
    refused(
        lambda: machine(["a", "b", "c"], [["go", "a", "b"], ["go", "a", "c"], ["x", "b", "c"]]),
        "go",
    )


def test_a_shadowed_edge_behind_a_star():
    """An edge behind `"*"` is shadowed as well."""
    refused(
        lambda: machine(["a", "b", "c"], [["go", "*", "b"], ["go", "a", "c"], ["x", "b", "c"]]),
        "go",
    )


def test_an_unknown_state_in_an_edge():
    """An edge to a state that is not there is refused with the near one."""
    refused(
        lambda: machine(["review", "end"], [["go", "review", "ned"]], "review"), "ned", "end"
    )
    refused(
        lambda: machine(["review", "end"], [["go", "reveiw", "end"]], "review"),
        "reveiw",
        "review",
    )


def test_an_unknown_initial_state():
    """An `initial` that is no state is refused with the near one."""
    refused(
        lambda: machine(["review", "end"], [["go", "review", "end"]], "reviw"),
        "reviw",
        "review",
    )


def test_a_machine_without_initial():
    """A machine needs an `initial` state."""
    refused(lambda: machine(["a", "b"], [["go", "a", "b"]], None), "initial")


def test_an_unknown_trigger_in_on_timeout():
    """`on_timeout` names a trigger that has an edge from that state."""
    refused(
        lambda: machine(
            [{"name": "a", "timeout": 5, "on_timeout": "expird"}, "b"], [["expire", "a", "b"]]
        ),
        "expird",
        "expire",
    )


def test_a_timeout_without_on_timeout():
    """A timeout needs `on_timeout`, and `on_timeout` a timeout."""
    refused(
        lambda: machine([{"name": "a", "timeout": 5}, "b"], [["go", "a", "b"]]), "on_timeout"
    )
    refused(
        lambda: machine([{"name": "a", "on_timeout": "go"}, "b"], [["go", "a", "b"]]), "timeout"
    )


def test_final_with_outgoing_edges():
    """`final` with outgoing edges is refused."""
    refused(
        lambda: machine([{"name": "a", "final": True}, "b"], [["go", "a", "b"]]), "a", "final"
    )


def test_an_unknown_outcome():
    """`outcome` is `failed` or `succeeded`."""
    refused(
        lambda: machine(["a", {"name": "b", "outcome": "fail"}], [["go", "a", "b"]]), "outcome"
    )


@pytest.mark.parametrize("key", ["before", "after", "prepare"])
def test_callbacks_in_edges_are_refused(key):
    """Callbacks that do work are refused, with what to write instead."""
    edge = {"trigger": "go", "source": "a", "dest": "b", key: print}
    refused(lambda: machine(["a", "b"], [edge]), key, "step")


@pytest.mark.parametrize("key", ["on_enter", "on_exit"])
def test_callbacks_in_states_are_refused(key):
    """`on_enter` and `on_exit` are refused, with what to write instead."""
    refused(lambda: machine([{"name": "a", key: print}, "b"], [["go", "a", "b"]]), key, "step")


def test_hierarchy_is_refused():
    """Nested states are refused."""
    refused(
        lambda: machine(
            [{"name": "a", "children": ["x"], "initial": "x"}, "b"], [["go", "a", "b"]]
        ),
        "children",
    )


def test_model_methods_as_guards_are_refused():
    """A guard given as text is a model's method, and is refused."""
    edge = {"trigger": "go", "source": "a", "dest": "b", "conditions": "is_ready"}
    refused(lambda: machine(["a", "b"], [edge]), "is_ready")


def test_unknown_keys_of_states_and_edges_are_refused():
    """A key that the dialect does not know is refused with the near one."""
    refused(
        lambda: machine([{"name": "a", "timeuot": 5}, "b"], [["go", "a", "b"]]),
        "timeuot",
        "timeout",
    )
    edge = {"trigger": "go", "source": "a", "dest": "b", "conditons": []}
    refused(lambda: machine(["a", "b"], [edge]), "conditons", "conditions")


def test_two_states_of_one_name():
    """Two states of one name are refused."""
    refused(lambda: machine(["a", "b", "a"], [["go", "a", "b"]]), "a")


def test_a_step_that_is_no_state():
    """A step of a machine that no state bears would never run, and is refused."""
    refused(
        lambda: Workflow(
            "m", steps=[work], states=["wrok", "b"], transitions=[["go", "wrok", "b"]],
            initial="wrok",
        ),
        "work",
    )  # fmt: skip


def test_a_deferred_signal_that_no_edge_knows():
    """`defer` names triggers that exist."""
    refused(
        lambda: machine(["a", "b"], [["approve", "a", "b"]], defer=["aprove"]),
        "aprove",
        "approve",
    )


def test_a_guard_that_names_nothing_known():
    """A guard's parameter near a step's name but unlike any is refused with the near one."""

    def ready(wrok: int) -> bool:
        return True

    refused(
        lambda: Workflow(
            "m",
            steps=[work],
            states=["work", "b"],
            transitions=[
                {"trigger": "done", "source": "work", "dest": "b", "conditions": ready}
            ],
            initial="work",
        ),
        "wrok",
        "work",
    )


def test_queued_machines_are_refused():
    """`from_machine` refuses what a durable machine cannot honour: `queued`."""
    queued = Machine(
        model=None, states=["a", "b"], transitions=[["go", "a", "b"]], initial="a",
        queued=True, auto_transitions=False,
    )  # fmt: skip
    with pytest.raises(DefinitionError, match="queued"):
        Workflow.from_machine(queued)


def test_from_machine_refuses_callbacks():
    """`from_machine` refuses a machine whose edges do work."""
    working = Machine(
        model=None,
        states=["a", "b"],
        transitions=[{"trigger": "go", "source": "a", "dest": "b", "before": print}],
        initial="a",
        auto_transitions=False,
    )
    with pytest.raises(DefinitionError, match="before"):
        Workflow.from_machine(working)


def test_a_transition_of_a_wrong_shape():
    """An edge that is neither a list of three nor a dict with its keys is refused."""
    for edge in (["go", "a"], ["go"], "go", {"trigger": "go", "source": "a"}, 5):
        with pytest.raises(DefinitionError):
            machine(["a", "b"], [edge, ["x", "a", "b"]])


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan"), timedelta(seconds=-5)])
def test_a_timeout_that_cannot_be_right(timeout):
    """A state's timeout is a duration that is not negative."""
    with pytest.raises(DefinitionError, match="timeout"):
        machine(
            [{"name": "a", "timeout": timeout, "on_timeout": "go"}, "b"], [["go", "a", "b"]]
        )
