"""What a workflow is, as plain data: the definition that the log keeps and the hash covers.

A definition names functions but holds none, so a run of last year can be folded, drawn and
checked without its code. The authoring side (`engine/workflow.py`) makes one from functions.
"""

import hashlib
from typing import Literal

import msgspec

NodeKind = Literal["step", "signal", "timer", "workflow"]
ParamKind = Literal[
    "node",  # the output of a step or child workflow, payload of a Signal, due time of a Timer
    "input",  # an input of the workflow
    "payload",  # machines: the payload of the trigger of that name, when last taken
    "context",
    "client",
    "async_client",
    "connection",
    "session",
    "failure",  # fallbacks: what the step failed of
]


class Param(msgspec.Struct, frozen=True, omit_defaults=True):
    """One parameter of a step, `when`, guard or delay: where its value comes from."""

    name: str
    kind: ParamKind
    required: bool = True
    outcome: bool = False  # asked as Outcome[T]
    type: str = ""  # the declared type as text; "": none declared


class Delay(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a timer, signal or state waits: exactly one of the three is set."""

    us: int | None = None  # microseconds from when the wait begins
    at: int | None = None  # a moment, microseconds since 1970
    params: tuple[Param, ...] | None = None  # asked of a function of these


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that stands in `steps=`."""

    name: str
    kind: NodeKind = "step"
    params: tuple[Param, ...] = ()
    when: tuple[Param, ...] | None = None
    after: tuple[str, ...] = ()
    returns: str = ""  # declared type of the result, or of a signal's payload
    fallback: tuple[Param, ...] | None = None
    breaker: str | None = None
    on_open: str = "park"
    on_lost: str = "retry"
    timeout: int | None = None  # of one attempt, microseconds
    retry: str | None = None  # the policy in words; it is judged by the live code
    delay: Delay | None = None  # a timer's delay, a signal's timeout
    each: str | None = None
    concurrency: int | None = None
    tolerate: float | None = None
    join: str | None = None  # "any" or a number; None: all
    child: str | None = None  # the hash of a child workflow's definition


class BreakerSpec(msgspec.Struct, frozen=True):
    """A circuit breaker as its steps declare it."""

    name: str
    failure_threshold: int = 3
    reset_timeout: int = 60_000_000  # microseconds
    probes: int = 1


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """An input of the workflow: a parameter that names nothing else."""

    name: str
    type: str = ""
    required: bool = True


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """A state of a machine. One that bears a node's name does that node's work on entry."""

    name: str
    outcome: str = "succeeded"  # of the run, if the state is final
    timeout: Delay | None = None
    on_timeout: str | None = None  # the trigger that the timeout pulls


class Guard(msgspec.Struct, frozen=True, omit_defaults=True):
    """A guard of a machine, by name, with what it wants to see."""

    name: str
    params: tuple[Param, ...] = ()


class Edge(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way from a state. `*` and lists are spelled out; order is the order of asking."""

    trigger: str
    source: str
    dest: (
        str | None
    )  # None: stays, nothing is left or entered; the source itself: leave and enter
    conditions: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


class Definition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A workflow as data: a pipeline (no states) or a machine."""

    name: str
    inputs: tuple[Input, ...] = ()
    nodes: tuple[Node, ...] = ()
    breakers: tuple[BreakerSpec, ...] = ()
    states: tuple[State, ...] = ()
    edges: tuple[Edge, ...] = ()
    guards: tuple[Guard, ...] = ()
    initial: str | None = None
    defer: tuple[str, ...] = ()
    ignore_invalid_triggers: bool = False
    triggers: tuple[Input, ...] = ()  # declared payload types of a machine's triggers

    @property
    def is_machine(self) -> bool:
        """Tell whether this is a machine of states rather than a pipeline."""
        return bool(self.states)


def encode(definition: Definition) -> bytes:
    """Give a definition as the JSON bytes that the log stores. *Pure.*"""
    return msgspec.json.encode(definition)


def decode(content: bytes) -> Definition:
    """Read a stored definition back. *Pure.*"""
    return msgspec.json.decode(content, type=Definition)


def hash_of(definition: Definition) -> str:
    """Give the SHA-256 (hex) of a definition: names, edges, types and options, not code."""
    return hashlib.sha256(encode(definition)).hexdigest()
