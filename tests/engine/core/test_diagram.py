"""Workflows drawn as text: everything is in the picture, and no name can break it."""

import re

import pytest

from engine.core.define import Definition, Delay, Edge, Guard, Input, Node, Param, State
from engine.core.diagram import STYLES, dot, mermaid
from engine.core.plan import Plan

PIPELINE = Plan(
    Definition(
        "documents",
        inputs=(Input("path"),),
        nodes=(
            Node("ingest", params=(Param("path", "input"), Param("ctx", "context"))),
            Node("approval", kind="signal", after=("ingest",)),
            Node("cooldown", kind="timer", delay=Delay(us=5)),
            Node(
                "publish",
                params=(Param("ingest", "node"), Param("approval", "node", required=False)),
                when=(Param("cooldown", "node"), Param("ingest", "node")),
            ),
        ),
    )
)
MACHINE = Plan(
    Definition(
        "publish",
        nodes=(Node("draft"),),
        states=(
            State("draft"),
            State("in review", timeout=Delay(us=172_800_000_000), on_timeout="expire"),
            State("end"),
        ),
        edges=(
            Edge("done", "draft", "in review"),
            Edge("revise", "in review", "draft", ("few",), ("late",)),
            Edge("note", "in review", None),
            Edge("expire", "in review", "end"),
        ),
        guards=(Guard("few"), Guard("late")),
        initial="draft",
    )
)


def test_a_pipeline_is_a_flowchart() -> None:
    """Inputs, steps, signals and timers by shape; values solid, the optional dashed."""
    assert mermaid(PIPELINE) == (
        "flowchart LR\n"
        '  i0(["path"])\n'
        '  n0["ingest"]\n'
        '  n1{{"approval"}}\n'
        '  n2(("cooldown"))\n'
        '  n3["publish"]\n'
        "  i0 --> n0\n"
        "  n0 -.->|after| n1\n"
        "  n0 --> n3\n"
        "  n1 -.-> n3\n"
        "  n2 -.->|when| n3\n"
    )


def test_a_machine_is_a_state_diagram() -> None:
    """Its first and final states, triggers, guards, stays and timeouts."""
    assert mermaid(MACHINE) == (
        "stateDiagram-v2\n"
        "  direction LR\n"
        '  state "draft" as s0\n'
        '  state "in review" as s1\n'
        '  state "end" as s2\n'
        "  [*] --> s0\n"
        "  s0 --> s1 : done\n"
        "  s1 --> s0 : revise [few and not late]\n"
        "  s1 --> s1 : note / stays\n"
        "  s1 --> s2 : expire (after 2 d)\n"
        "  s2 --> [*]\n"
    )


def test_dot_shows_the_same() -> None:
    """Every node, state and arrow of the Mermaid picture is in the DOT one."""
    for plan in (PIPELINE, MACHINE):
        arrows = re.findall(r"(\w+) -+\.?->\S* (\w+)", mermaid(plan).replace("-.->|", "--->|"))
        for source, dest in arrows:
            assert f"{source} -> {dest}" in dot(plan)
    assert 'n1 [label="approval", shape=hexagon];' in dot(PIPELINE)
    assert 's2 [label="end", peripheries=2];' in dot(MACHINE)
    assert "start -> s0;" in dot(MACHINE)


@pytest.mark.parametrize("style", STYLES)
def test_where_a_run_stands_is_shown(style: str) -> None:
    """A node's style is a class in Mermaid and a fill in DOT; others have none."""
    drawn = mermaid(PIPELINE, states={"ingest": style, "publish": style})
    assert f"  class n0,n3 {style}\n" in drawn
    assert f"  classDef {style} fill:{STYLES[style][0]}" in drawn
    assert f'n0 [label="ingest", shape=box, fillcolor="{STYLES[style][0]}"' in dot(
        PIPELINE, states={"ingest": style}
    )


def test_an_unknown_style_is_refused() -> None:
    """The known ones are told."""
    for draw in (mermaid, dot):
        with pytest.raises(ValueError, match="known are active, visited"):
            draw(MACHINE, states={"draft": "purple"})


def test_a_name_that_is_not_drawn_is_left_out() -> None:
    """A style for what is not in the picture changes nothing."""
    assert mermaid(MACHINE, states={"gone": "active"}) == mermaid(MACHINE)


def test_names_cannot_break_the_picture() -> None:
    """Quotes, arrows, colons and line ends in a name are written as entities or blanks."""
    evil = 'a"] --> b; click x :\n<script>\\'
    plan = Plan(
        Definition(
            evil,
            states=(State(evil), State("end")),
            edges=(Edge(evil, evil, "end"),),
            initial=evil,
        )
    )
    drawn = mermaid(plan)
    assert "a#quot;] --#gt; b#59; click x #58; #lt;script#gt;#92;" in drawn
    assert drawn.count("\n") == 7
    assert r'"a\"] --> b; click x : <script>\\"' in dot(plan)


@pytest.mark.parametrize(
    ("us", "words"),
    [(500_000, "0.5 s"), (5_400_000_000, "1 h 30 min"), (86_400_000_000, "1 d")],
)
def test_timeouts_are_said_as_people_do(us: int, words: str) -> None:
    """Days, hours, minutes and seconds; a moment or a function by what it is."""

    def drawn(delay: Delay) -> str:
        states = (State("a", timeout=delay, on_timeout="late"), State("b"))
        edges = (Edge("late", "a", "b"),)
        return mermaid(Plan(Definition("m", states=states, edges=edges, initial="a")))

    assert f"late (after {words})" in drawn(Delay(us=us))
    assert "late (at a time)" in drawn(Delay(at=1))
    assert "late (when due)" in drawn(Delay(params=()))
