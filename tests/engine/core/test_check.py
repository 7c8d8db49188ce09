"""What cannot be right about a definition: each rule found, and quiet where all is well."""

from typing import Any

import msgspec
import pytest

from engine.core.check import check
from engine.core.define import (
    BreakerSpec,
    Definition,
    Delay,
    Edge,
    Guard,
    Input,
    Node,
    Param,
    State,
)


def takes(name: str, *upstreams: str, inputs: tuple[str, ...] = (), **options: Any) -> Node:
    """Give a step that takes the outputs of others."""
    params = [Param(n, "node") for n in upstreams] + [Param(n, "input") for n in inputs]
    return Node(name, params=tuple(params), **options)


def pipeline(*nodes: Node, inputs: tuple[str, ...] = (), **options: Any) -> Definition:
    """Give a pipeline as data."""
    return Definition("w", nodes=nodes, inputs=tuple(map(Input, inputs)), **options)


SOUND = Definition(
    "m",
    nodes=(Node("draft"),),
    states=(
        State("draft"),
        State("review", timeout=Delay(us=1), on_timeout="late"),
        State("end"),
    ),
    edges=(
        Edge("done", "draft", "review"),
        Edge("revise", "review", "draft", ("few",)),
        Edge("revise", "review", "end"),
        Edge("late", "review", "end"),
    ),
    guards=(Guard("few"),),
    initial="draft",
)


def machine(**changes: Any) -> Definition:
    """Give the sound machine with something changed."""
    return msgspec.structs.replace(SOUND, **changes)


def found(definition: Definition) -> list[tuple[str, str]]:
    """Give the code and subject of each finding."""
    return [(finding.code, finding.subject) for finding in check(definition)]


def told(definition: Definition) -> str:
    """Give the one finding's message."""
    (finding,) = check(definition)
    return finding.message


def test_sound_definitions_are_let_be() -> None:
    """Nothing is found in a pipeline and a machine that can be right."""
    joined = pipeline(
        takes("ingest", inputs=("path",)),
        takes("enrich", "ingest"),
        takes("report", "enrich", "ingest", after=("ingest",)),
        Node("approval", kind="signal"),
        inputs=("path",),
    )
    assert found(joined) == []
    assert found(SOUND) == []


def test_an_empty_workflow_is_found() -> None:
    """Neither steps nor states are no workflow."""
    assert found(Definition("w")) == [("empty", "")]


@pytest.mark.parametrize("name", ["", "a/b", "a:b", " a", "a\n"])
def test_a_name_that_is_none_is_found(name: str) -> None:
    """Names of workflows go into keys and commands."""
    assert found(Definition(name, nodes=(Node("a"),)))[0][0] == "name"


@pytest.mark.parametrize("name", ["documents", "nightly report", "v2.1-beta", "été"])
def test_a_plain_name_is_let_be(name: str) -> None:
    """Letters of any script, digits, spaces, dots and dashes."""
    assert found(Definition(name, nodes=(Node("a"),))) == []


@pytest.mark.parametrize("name", ["a b", "score[3]", "", "a~2", "<lambda>"])
def test_a_step_without_a_plain_name_is_found(name: str) -> None:
    """A step's name goes into idempotency keys and subjects."""
    assert found(pipeline(Node(name))) == [("name", name)]


def test_reserved_names_are_found() -> None:
    """`run` is the subject of the run's own events, `initial` the first move's trigger."""
    assert found(pipeline(Node("run"))) == [("reserved", "run")]
    edges = (*SOUND.edges, Edge("initial", "review", "end"))
    assert "machine's own" in told(machine(edges=edges))


def test_names_given_twice_are_found() -> None:
    """Steps, states, guards and breakers are known by name."""
    assert found(pipeline(Node("a"), Node("a"))) == [("duplicate", "a")]
    assert found(machine(states=(*SOUND.states, State("end")))) == [("duplicate", "end")]
    assert found(machine(guards=(Guard("few"), Guard("few")))) == [("duplicate", "few")]
    twice = (BreakerSpec("api"), BreakerSpec("api", probes=2))
    assert found(pipeline(Node("a"), breakers=twice)) == [("duplicate", "api")]


def test_options_that_are_none_are_found() -> None:
    """on_open and on_lost have their words."""
    assert "'park', 'fail'" in told(pipeline(Node("a", on_open="wait")))
    assert "'retry', 'fail'" in told(pipeline(Node("a", on_lost="wait")))
    assert found(pipeline(Node("a", on_open="skip", on_lost="fail"))) == []


def test_a_missing_fallback_is_found() -> None:
    """on_open='fallback' needs one; with one all is well."""
    assert found(pipeline(Node("a", on_open="fallback"))) == [("fallback", "a")]
    assert found(pipeline(Node("a", on_open="fallback", fallback=()))) == []


def test_after_an_unknown_step_is_found() -> None:
    """The near miss is told."""
    words = told(pipeline(Node("migrate"), Node("load", after=("migarte",))))
    assert words.endswith(
        "'load' stands after 'migarte', which is no step here; did you mean 'migrate'?"
    )


def test_a_circle_is_found_and_named() -> None:
    """In the direction of the values; what leads into it and out of it is left out."""
    words = told(
        pipeline(
            takes("a"), takes("b", "a", "d"), takes("c", "b"), takes("d", "c"), takes("e", "d")
        )
    )
    assert any(
        f": {way};" in words
        for way in ("b -> c -> d -> b", "c -> d -> b -> c", "d -> b -> c -> d")
    )


@pytest.mark.parametrize(
    "node",
    [
        takes("a", "a"),
        Node("a", after=("a",)),
        Node("a", when=(Param("a", "node"),)),
        Node("a", kind="timer", delay=Delay(params=(Param("a", "node"),))),
    ],
)
def test_a_step_that_waits_for_itself_is_found(node: Node) -> None:
    """By a parameter, `after`, `when` or a delay."""
    assert "a -> a" in told(pipeline(node))


def test_a_diamond_is_no_circle() -> None:
    """Two ways from one step to another are fine."""
    assert (
        found(pipeline(takes("a"), takes("b", "a"), takes("c", "a"), takes("d", "b", "c")))
        == []
    )


def test_a_machines_parameters_may_form_a_circle() -> None:
    """There they are the latest outputs."""
    node = takes("draft", "draft")
    assert found(machine(nodes=(node,))) == []


@pytest.mark.parametrize(
    "written", ["enrihc", "enrch", "enricch", "enrick", "Enrich", "en_rich"]
)
def test_an_input_like_a_step_is_found(written: str) -> None:
    """One letter wrong, too many, too few or changed about; both names are told."""
    definition = pipeline(
        takes("enrich", inputs=("path",)),
        takes("report", inputs=(written,)),
        inputs=("path", written),
    )
    assert found(definition) == [("near-miss", "report")]
    assert f"'report' takes {written!r}" in told(definition)
    assert told(definition).endswith("did you mean the step 'enrich'?")


@pytest.mark.parametrize(
    ("written", "step"),
    [
        ("page", "pages"),
        ("documents", "document"),
        ("step_1", "step_2"),
        ("path_a", "path_b"),
        ("s12", "s21"),
        ("limit", "enrich"),
        ("cat", "car"),
        ("text", "test"),
    ],
)
def test_another_word_is_let_be(written: str, step: str) -> None:
    """Plurals, numbers, short words and what is plainly another."""
    assert found(pipeline(takes(step, inputs=(written,)), inputs=(written,))) == []


def test_an_input_like_a_trigger_is_found() -> None:
    """A machine's parameter may be a payload; `done` and `error` carry none."""
    node = takes("draft", inputs=("revize",))
    definition = machine(nodes=(node,), inputs=(Input("revize"),))
    assert told(definition).endswith("did you mean the trigger 'revise'?")
    node = takes("draft", inputs=("errors",))
    assert found(machine(nodes=(node,), inputs=(Input("errors"),))) == []


def test_an_unreachable_state_is_found() -> None:
    """No transitions lead to it; one that only leads out does not help."""
    states = (*SOUND.states, State("lost"))
    assert found(machine(states=states)) == [("unreachable", "lost")]
    edges = (*SOUND.edges, Edge("go", "lost", "end"))
    assert found(machine(states=states, edges=edges)) == [("unreachable", "lost")]
    edges = (*SOUND.edges, Edge("go", "review", "lost"))
    assert found(machine(states=states, edges=edges)) == []


def test_a_state_reached_by_stays_only_is_unreachable() -> None:
    """A transition that stays leads nowhere."""
    states = (*SOUND.states, State("lost"))
    edges = (*SOUND.edges, Edge("note", "lost", None))
    assert found(machine(states=states, edges=edges)) == [("unreachable", "lost")]


def test_unknown_states_are_found() -> None:
    """As source, dest and initial, with the near miss."""
    assert "no initial state" in told(machine(initial=None))
    assert "'drfat' is no state; did you mean 'draft'?" in str(check(machine(initial="drfat")))
    edges = (*SOUND.edges, Edge("go", "review", "ennd"))
    assert told(machine(edges=edges)).endswith("no state; did you mean 'end'?")
    edges = (*SOUND.edges, Edge("go", "revieww", "end"))
    assert told(machine(edges=edges)).endswith("no state; did you mean 'review'?")


def test_a_dead_end_is_found() -> None:
    """A working state must have an edge for `done`, or for a signal or timeout."""
    only_error = (Edge("error", "draft", "end"), Edge("late", "review", "end"))
    states = (State("draft"), State("end"))
    for edges in (only_error[:1], ()):
        codes = [f[0] for f in found(machine(states=states, edges=edges, guards=()))]
        assert "dead-end" in codes


@pytest.mark.parametrize("trigger", ["done", "approve"])
def test_a_working_state_with_a_way_out_is_no_dead_end(trigger: str) -> None:
    """`done` leaves it, or it waits for a signal."""
    states = (State("draft"), State("end"))
    edges = (Edge(trigger, "draft", "end"),)
    assert found(machine(states=states, edges=edges)) == []


def test_a_step_without_a_state_is_found() -> None:
    """It would never run; the near miss is told."""
    words = told(machine(nodes=(Node("draft"), Node("reveiw"))))
    assert words.endswith("it would never run; did you mean 'review'?")


def test_a_shadowed_edge_is_found() -> None:
    """Behind an edge without guards, or with no more guards than its own."""
    last = Edge("revise", "review", "review")
    assert "before it has no guard" in told(machine(edges=(*SOUND.edges, last)))
    same = Edge("revise", "review", "end", ("few", "other"))
    edges = (*SOUND.edges[:2], same, *SOUND.edges[2:])
    assert "before it holds as often" in told(machine(edges=edges))


def test_edges_beside_each_other_are_let_be() -> None:
    """Other guards, the contrary of one, and at last one without."""
    edges = (
        *SOUND.edges[:2],
        Edge("revise", "review", "review", ("other",)),
        Edge("revise", "review", "review", unless=("few",)),
        *SOUND.edges[2:],
    )
    assert found(machine(edges=edges)) == []


def test_half_a_timeout_is_found() -> None:
    """Timeout and on_timeout go together, and the trigger needs an edge there."""

    def review(**options: Any) -> str:
        return told(machine(states=(SOUND.states[0], State("review", **options), State("end"))))

    assert "no timeout" in review(on_timeout="late")
    assert "no on_timeout" in review(timeout=Delay(us=1))
    assert review(timeout=Delay(us=1), on_timeout="laet").endswith("did you mean 'late'?")
    assert "leaves it" in review(timeout=Delay(us=1), on_timeout="done")


def test_an_unknown_deferred_signal_is_found() -> None:
    """defer= names triggers."""
    assert told(machine(defer=("revsie",))).endswith("did you mean 'revise'?")
    assert found(machine(defer=("revise",))) == []


def test_states_are_named_by_what_can_be_read() -> None:
    """A name of blanks, a line break or the dash of "not yet" is none; words are."""
    for name in ("  ", "a\nb", "\N{EN DASH}"):
        assert ("name", name) in found(machine(states=(*SOUND.states, State(name))))
    states = (*SOUND.states, State("in review"))
    edges = (*SOUND.edges, Edge("go", "review", "in review"))
    assert found(machine(states=states, edges=edges)) == []
