"""Pipelines by parameter name: what is built, bound and refused."""

import datetime
import functools
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Optional

import httpx
import pytest
import sqlalchemy
from freezegun import freeze_time
from sqlalchemy.orm import Session
from tenacity import retry, stop_after_attempt, wait_exponential

from engine.breakers import CircuitBreaker
from engine.context import Context
from engine.core.define import Definition, Delay, Node, decode, encode
from engine.errors import DefinitionError
from engine.outcome import Failure, Outcome
from engine.steps import Signal, Timer, step
from engine.workflow import Workflow

if TYPE_CHECKING:
    from nowhere import Nothing  # type: ignore[import-not-found]


@dataclass
class Document:
    language: str


@dataclass
class Entities:
    names: list[str]


@dataclass
class Summary:
    text: str


@step
def ingest(path: str) -> Document:
    return Document(path)


@step(when=lambda ingest: ingest.language != "en")
def translate(ingest: Document) -> Document:
    return ingest


def pipeline(*steps: Any, name: str = "w") -> Workflow:
    """Build a pipeline."""
    return Workflow(name, steps=steps)


def node(workflow: Workflow, name: str) -> Node:
    """Give a node of a workflow's definition."""
    return workflow.plan.nodes[name]


def refusal(*steps: Any, **options: Any) -> str:
    """Give the words with which a pipeline is refused; they name a line of this file."""
    with pytest.raises(DefinitionError) as caught:
        Workflow("w", steps=steps, **options)
    assert re.search(r"test_workflow\.py:\d+\)$", str(caught.value))
    return str(caught.value)


def documents() -> Workflow:
    """Build the pipeline of the design, as it stands there."""
    enrichment_api = CircuitBreaker("enrichment-api", failure_threshold=3, reset_timeout=60.0)

    @step(breaker=enrichment_api, timeout=30)
    @retry(wait=wait_exponential(multiplier=1, max=60), stop=stop_after_attempt(5))
    def enrich(ingest: Document, client: httpx.Client) -> Entities: ...

    @enrich.fallback
    def enrich_offline(ingest: Document) -> Entities: ...

    @step
    def summarize(enrich: Entities, translate: Document | None = None) -> Summary: ...

    return Workflow("documents", steps=[ingest, enrich, translate, summarize])


def test_the_pipeline_of_the_design_is_built() -> None:
    """Its edges come from parameter names, its input from the parameter that names no step."""
    workflow = documents()
    assert [(i.name, i.type) for i in workflow.definition.inputs] == [("path", "str")]
    assert workflow.plan.upstreams == {
        "ingest": (),
        "enrich": ("ingest",),
        "translate": ("ingest",),
        "summarize": ("enrich", "translate"),
    }
    enrich = node(workflow, "enrich")
    assert (enrich.breaker, enrich.timeout, enrich.returns) == (
        "enrichment-api",
        30_000_000,
        "Entities",
    )
    assert [(p.name, p.kind) for p in enrich.params] == [
        ("ingest", "node"),
        ("client", "client"),
    ]
    assert [p.name for p in enrich.fallback or ()] == ["ingest"]
    assert "stop_after_attempt(max_attempt_number=5)" in (enrich.retry or "")
    assert node(workflow, "summarize").params[1].required is False
    assert workflow.definition.breakers[0].reset_timeout == 60_000_000
    assert workflow.breakers["enrichment-api"].name == "enrichment-api"


def test_the_same_functions_give_the_same_hash() -> None:
    """The hash covers names, edges, types and options, and is the same in every process."""
    assert documents().hash == documents().hash
    assert decode(encode(documents().definition)) == documents().definition
    assert pipeline(ingest).hash != pipeline(step(timeout=1)(ingest.fn)).hash


def test_the_code_has_the_functions_by_name() -> None:
    """The worker finds the bare function, its policy, fallback and parameters' types."""
    code = documents().code
    enrich = code.works["enrich"]
    assert enrich.main is not None
    assert enrich.main.params[0].annotation is Document
    assert enrich.policy is not None
    assert enrich.fallback is not None
    assert enrich.returns is Entities
    assert code.inputs == {"path": str}


def test_a_receiver_without_annotation_gets_the_producers_type() -> None:
    """A lambda, or a bare parameter, takes what the step is declared to return."""
    when = documents().code.works["translate"].when
    assert when is not None
    assert when.params[0].annotation is Document
    bare = pipeline(ingest, step(name="bare")(lambda ingest: ingest))
    main = bare.code.works["bare"].main
    assert main is not None
    assert main.params[0].annotation is Document
    assert node(bare, "bare").params[0].type == ""


def test_an_input_without_annotation_gets_the_type_of_another_reader() -> None:
    """Two steps that take one input take it as one type."""
    workflow = pipeline(step(name="a")(lambda path: path), ingest)
    main = workflow.code.works["a"].main
    assert main is not None
    assert main.params[0].annotation is str


def test_an_input_is_optional_if_every_reader_has_a_default() -> None:
    """One reader without a default makes it required."""

    @step
    def a(limit: int = 3) -> int: ...

    @step
    def b(limit: int) -> int: ...

    assert pipeline(a).definition.inputs[0].required is False
    assert pipeline(a, b).definition.inputs[0].required is True


def test_an_outcome_is_asked_by_annotation() -> None:
    """Outcome[T] asks for T however it ended; also as an Optional."""

    @step
    def report(
        ingest: Outcome[Document],
        translate: Optional[Outcome[Document]] = None,  # noqa: UP045
    ) -> str: ...

    workflow = pipeline(ingest, translate, report)
    assert [p.outcome for p in node(workflow, "report").params] == [True, True]
    main = workflow.code.works["report"].main
    assert main is not None
    assert [b.annotation for b in main.params] == [Document, Document]
    assert workflow.plan.survivable == {"translate"}, "`when` does not survive a failure"


def test_what_is_handed_in_is_no_input() -> None:
    """Context and the HTTP clients are known by annotation, whatever the parameter's name."""

    @step
    async def fetch(
        url: str, me: Context, http: httpx.AsyncClient, other: httpx.Client | None = None
    ) -> str: ...

    workflow = pipeline(fetch)
    kinds = [p.kind for p in node(workflow, "fetch").params]
    assert kinds == ["input", "context", "async_client", "client"]
    assert [i.name for i in workflow.definition.inputs] == ["url"]
    main = workflow.code.works["fetch"].main
    assert main is not None
    assert main.is_async


@pytest.mark.parametrize("kind", [sqlalchemy.Connection, Session])
def test_a_database_session_comes_later(kind: type) -> None:
    """A parameter annotated Connection or Session is refused as a thing of a later version."""

    def store(path: str, db: Any) -> None: ...

    store.__annotations__["db"] = kind
    assert "later version" in refusal(step(store))


def test_a_failure_is_for_fallbacks() -> None:
    """A fallback may ask for the Failure; a step may not."""

    @step
    def enrich(path: str) -> str: ...

    @enrich.fallback
    def offline(failure: Failure) -> str: ...

    assert [p.kind for p in node(pipeline(enrich), "enrich").fallback or ()] == ["failure"]
    assert "only a fallback" in refusal(step(name="x")(offline))


def test_a_fallback_takes_no_more_than_its_step() -> None:
    """A parameter that the step does not have is refused."""
    enrich = step(name="enrich")(lambda path: path)
    enrich.fallback(lambda other: other)
    assert "takes 'other'" in refusal(enrich)


def test_signals_and_timers_stand_like_steps() -> None:
    """They are nodes with a payload's type, a timeout or delay, and an order."""

    @step
    def publish(approval: Entities, cooldown: datetime.datetime) -> str: ...

    at = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    workflow = pipeline(
        ingest,
        Signal("approval", Entities, timeout=timedelta(hours=48), after=["ingest"]),
        Timer("cooldown", at, after=[ingest]),
        publish,
    )
    approval, cooldown = node(workflow, "approval"), node(workflow, "cooldown")
    assert (approval.kind, approval.returns, approval.after) == (
        "signal",
        "Entities",
        ("ingest",),
    )
    assert approval.delay == Delay(us=48 * 3600 * 10**6)
    assert cooldown.delay == Delay(at=1_893_456_000 * 10**6)
    assert workflow.code.payloads == {"approval": Entities}
    assert workflow.code.works["cooldown"].returns is datetime.datetime


def test_a_delay_may_be_asked_of_a_function() -> None:
    """Its parameters are edges and inputs like a step's."""
    workflow = pipeline(
        ingest, Timer("cooldown", lambda ingest, factor=2: len(ingest.language) * factor)
    )
    delay = node(workflow, "cooldown").delay
    assert delay is not None
    assert [(p.name, p.kind) for p in delay.params or ()] == [
        ("ingest", "node"),
        ("factor", "input"),
    ]
    asked = workflow.code.works["cooldown"].delay
    assert asked is not None
    assert asked.params[0].annotation is Document
    assert workflow.plan.upstreams["cooldown"] == ("ingest",)


@pytest.mark.parametrize(
    "delay",
    [0, -1, timedelta(0), float("inf"), float("nan"), "1h", None, True],
    ids=repr,
)
def test_a_delay_that_is_none_is_refused(delay: Any) -> None:
    """A delay is longer than nothing, and ends."""
    assert "the delay of timer 'cooldown'" in refusal(Timer("cooldown", delay))


def test_a_delay_without_a_time_zone_is_refused() -> None:
    """A naive datetime is no moment; one in the past is."""
    naive = datetime.datetime(2030, 1, 1)  # noqa: DTZ001 - what is refused
    assert "time zone" in refusal(Signal("approval", timeout=naive))
    past = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    assert node(pipeline(Timer("t", past)), "t").delay == Delay(at=946_684_800 * 10**6)


def test_when_may_be_any_callable() -> None:
    """Partials, bound methods and callable objects are asked by name too."""

    class Wants:
        def __call__(self, path: str) -> bool:
            return bool(path)

        def ask(self, path: str, ctx: Context) -> bool:
            return bool(path) and not ctx.cancelled

    def asks(path: str, least: int) -> bool:
        return len(path) >= least

    for when in (Wants(), Wants().ask, functools.partial(asks, least=3)):
        workflow = pipeline(step(when=when)(ingest.fn))
        assert (node(workflow, "ingest").when or ())[0].name == "path"


def test_when_does_no_work() -> None:
    """An HTTP client is not handed to what only decides."""

    def when(client: httpx.Client) -> bool: ...

    assert "steps only" in refusal(step(when=when)(ingest.fn))


@pytest.mark.parametrize("source", ["*args", "**kwargs", "a, /"])
def test_parameters_without_a_name_of_their_own_are_refused(source: str) -> None:
    """Values are handed over by name."""
    fn = eval(f"lambda {source}: 1")  # noqa: S307 - three lambdas of one shape
    with pytest.raises(DefinitionError, match="name each one it needs"):
        pipeline(step(name="x")(fn))


def test_what_is_no_step_is_refused() -> None:
    """A plain function is told of `@step`, a wrapped step of the order, a number of both."""
    wrapped = functools.wraps(ingest)(lambda path: path)
    assert "write @step over it" in refusal(ingest.fn)
    assert "put @step above" in refusal(wrapped)
    assert "list functions under @step" in refusal(3)


def test_a_workflow_inside_a_workflow_comes_later() -> None:
    """A child workflow is recognised, and not in this version."""
    assert "does not have child workflows yet" in refusal(pipeline(ingest))


def test_a_breaker_must_be_one() -> None:
    """`breaker="name"` is no breaker."""
    assert "CircuitBreaker" in refusal(step(breaker="api")(ingest.fn))


def test_types_that_plainly_cannot_meet_are_refused() -> None:
    """One dataclass is no other, and a number no list; the line is the receiver's."""

    @step
    def count(ingest: Entities) -> int: ...

    words = refusal(ingest, count)
    assert "step 'ingest' gives Document, and step 'count' takes 'ingest' as Entities" in words
    assert f"test_workflow.py:{count.fn.__code__.co_firstlineno})" in words


def test_a_number_is_no_list() -> None:
    """A receiver's type of another JSON shape is refused."""

    @step
    def count(path: str) -> int: ...
    @step
    def show(count: list[int]) -> int: ...

    assert "takes 'count' as list[int]" in refusal(count, show)


def test_an_input_of_two_types_is_refused() -> None:
    """Two readers of one input must be able to agree."""

    @step
    def other(path: list[str]) -> int: ...

    assert "the input 'path' is str elsewhere" in refusal(ingest, other)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (bool, int),
        (int, float),
        (str, datetime.datetime),
        (dict, Document),
        (Document, dict),
        (list[int], tuple[int, ...]),
        (list[Any], list[int]),
        (int | None, int),
        (int | list[int], list[int]),
        (Any, Document),
        (object, int),
    ],
)
def test_types_that_may_meet_are_let_be(given: Any, taken: Any) -> None:
    """Values pass through JSON; only what can never fit is refused."""

    def make(path: str) -> Any: ...
    def take(make: Any) -> Any: ...

    make.__annotations__["return"] = given
    take.__annotations__["make"] = taken
    pipeline(step(make), step(take))


def test_annotations_as_text_find_local_classes() -> None:
    """A class inside the function that builds the workflow can be named in text."""

    @dataclass
    class Local:
        x: int

    def make(path: "str") -> "Local": ...
    def take(make: "Local | None") -> "int": ...

    workflow = pipeline(step(make), step(take))
    assert workflow.code.works["make"].returns is Local
    assert node(workflow, "take").params[0].type == "Local | None"


def test_annotations_that_cannot_be_found_are_refused() -> None:
    """The missing name is told, with the parameter whose type it is."""

    def take(path: "Nothing") -> int: ...

    words = refusal(step(take))
    assert "the type of 'path'" in words
    assert "TYPE_CHECKING" in words


def test_a_definition_made_on_a_frozen_clock_is_the_same() -> None:
    """Freezegun's classes as annotations mean the real ones."""

    def build() -> Workflow:
        def make(at: datetime.datetime, on: list[datetime.date] | None = None) -> int: ...

        return pipeline(step(make), Timer("cooldown", 3))

    with freeze_time("2020-01-01"):
        frozen = build()
    assert frozen.hash == build().hash
    assert frozen.code.inputs == {"at": datetime.datetime, "on": list[datetime.date] | None}
    assert frozen.code.works["cooldown"].returns is datetime.datetime


def test_types_are_told_as_people_write_them() -> None:
    """No module, no address: the text is stable for the hash."""

    def take(
        a: list[Document], b: dict[str, int | None], c: "tuple[int, ...]", d: Any
    ) -> None: ...

    types = [p.type for p in node(pipeline(step(take)), "take").params]
    assert types == ["list[Document]", "dict[str, int | None]", "tuple[int, ...]", "Any"]
    assert node(pipeline(step(take)), "take").returns == "None"


def test_what_is_a_machines_is_refused_of_a_pipeline() -> None:
    """defer=, initial= and transitions need states."""
    assert "defer= is a machine's" in refusal(ingest, defer=["x"])
    assert "initial= is a machine's" in refusal(ingest, initial="x")
    assert "no states" in refusal(ingest, transitions=[["go", "a", "b"]])


def test_all_that_is_wrong_is_told_at_once() -> None:
    """The first finding, then the others."""
    bad = step(on_open="x", on_lost="y")(ingest.fn)
    words = refusal(bad)
    assert "on_open='x'" in words
    assert "\n  and: step 'ingest' has on_lost='y'" in words


def test_the_line_of_the_workflow_is_told_too() -> None:
    """A finding about a step names its line and the line that built the workflow."""
    with pytest.raises(DefinitionError) as caught:
        pipeline(step(on_open="x")(ingest.fn))
    assert re.search(r"workflow 'w' at .*test_workflow\.py:\d+: ", str(caught.value))


def test_ten_thousand_steps_are_built_in_seconds() -> None:
    """Checks are linear: a chain of 10,000 steps with inputs of their own takes no minute."""
    lines = ["def s0(x: int) -> int: ..."]
    lines += [
        f"def s{n}(s{n - 1}: int, input{n}x: str = '') -> int: ..." for n in range(1, 10**4)
    ]
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)  # noqa: S102 - ten thousand functions
    steps = [step(names[f"s{n}"]) for n in range(10**4)]
    watch = datetime.datetime.now(datetime.UTC)  # noqa: TID251 - real time is what is measured
    workflow = pipeline(*steps)
    assert datetime.datetime.now(datetime.UTC) - watch < timedelta(seconds=40)  # noqa: TID251
    assert isinstance(workflow.definition, Definition)
    assert workflow.plan.lasts == ("s9999",)
