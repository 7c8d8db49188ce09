"""A workflow: functions and tables made into a definition, checked, with its code beside it."""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import msgspec

from engine import adopt, dialect, values
from engine.calls import Code
from engine.core import machine
from engine.core.check import check
from engine.core.define import Definition
from engine.core.finding import Finding
from engine.core.plan import Plan
from engine.draft import Draft
from engine.errors import DefinitionError
from engine.steps import Step, caller

_SHOWN = 10  # findings told at once


class Workflow:
    """A pipeline of steps, or a machine of states; checked when built.

    Attributes:
        name: Its name.
        definition: What it is, as data.
        plan: The definition with its look-up tables.
        hash: The definition's hash: names, edges, types and options, not code.
        code: Its functions, by name.
        breakers: Its circuit breakers, by name.
        where: The source line that built it, as "file.py:12".
    """

    def __init__(
        self,
        name: str,
        *,
        steps: Iterable[Any] = (),
        states: Any = (),
        transitions: Iterable[Any] = (),
        initial: Any = None,
        defer: Iterable[str] = (),
        ignore_invalid_triggers: bool = False,
    ) -> None:
        """Build and check it.

        Args:
            name: Its name.
            steps: Steps, Signals and Timers; of a machine the steps that states are named
                after, and Signals that declare what a trigger carries.
            states: Of a machine, in the dialect of `transitions`.
            transitions: Of a machine, in the same dialect.
            initial: The machine's first state.
            defer: Signals that a machine keeps for a later state.
            ignore_invalid_triggers: Whether a machine drops a signal that its state does not
                take, in place of refusing it.

        Raises:
            DefinitionError: It cannot be right; names the source line.
        """
        self.name = name
        self.where = caller()
        if not isinstance(name, str) or not name:
            self._refuse(DefinitionError(f"a workflow's name is text, not {name!r}"))
        try:
            values.check_name(name, "a workflow")
        except DefinitionError as error:
            self._refuse(error)
        if not isinstance(steps, Iterable):
            self._refuse(DefinitionError(f"steps={steps!r} is no list; write steps=[...]"))
        try:
            table = dialect.read(states, transitions)
            settings: dict[str, Any] = {
                "initial": None if initial is None else dialect.name_of(initial, "initial"),
                "defer": tuple(dialect.name_of(one, "deferred signal") for one in defer),
                "ignore_invalid_triggers": ignore_invalid_triggers,
            }
            if not table.states:
                self._refuse_machine_parts(table, settings)
            draft = Draft(name, list(steps), table, **settings)
            self.definition = self._checked(draft)
        except DefinitionError as error:
            self._refuse(error)
        for one in draft.listed:
            if isinstance(one, Step):
                one.is_built = True
        self.plan = Plan(self.definition)
        self.hash = self.plan.hash
        self.code: Code = draft.code()
        self.breakers: Mapping[str, Any] = draft.breakers

    @classmethod
    def from_machine(
        cls,
        machine: Any,
        *,
        name: str | None = None,
        steps: Iterable[Any] = (),
        defer: Iterable[str] = (),
    ) -> "Workflow":
        """Build a workflow from a `transitions.Machine`.

        Args:
            machine: The machine; its automatic `to_<state>` triggers are left out.
            name: The workflow's name; the machine's by default.
            steps: Steps that states are named after.
            defer: Signals to keep for a later state.

        Raises:
            DefinitionError: The machine does what is not honoured here.
        """
        try:
            options = adopt.adopt(machine)
        except DefinitionError as error:
            raise DefinitionError(str(error), where=caller()) from error
        own = options.pop("name")
        return cls(name or own, steps=steps, defer=defer, **options)

    def __repr__(self) -> str:
        """Show the workflow's name."""
        return f"<workflow {self.name!r}>"

    def _checked(self, draft: Draft) -> Definition:
        """Give the draft's definition if nothing is wrong with it."""
        definition = draft.definition()
        findings = [*check(definition), *draft.findings]
        if findings:
            raise _refusal(findings, draft)
        if definition.is_machine:
            if not definition.ignore_invalid_triggers:
                edges = (*definition.edges, *draft.ignoring())
                definition = msgspec.structs.replace(definition, edges=edges)
            try:
                machine.moves_of(definition)
            except ValueError as error:
                raise DefinitionError(f"`transitions` refuses the machine: {error}") from error
        return definition

    def _refuse_machine_parts(self, table: dialect.Table, settings: dict[str, Any]) -> None:
        """Refuse what only a machine has, where there are no states."""
        if table.edges or table.guards:
            raise DefinitionError("there are transitions and no states; give states=[...]")
        asked = [option for option, value in settings.items() if value]
        if asked:
            raise DefinitionError(
                f"{asked[0]}= is a machine's; give states=[...], or leave it out:"
                " a pipeline keeps each signal until its Signal waits"
            )

    def _refuse(self, error: DefinitionError) -> NoReturn:
        message = str(error)
        if error.where:
            message = message.removesuffix(f" ({error.where})")
        built = f" at {self.where}" if error.where and error.where != self.where else ""
        raise DefinitionError(
            f"workflow {self.name!r}{built}: {message}", where=error.where or self.where
        ) from error


def _refusal(findings: list[Finding], draft: Draft) -> DefinitionError:
    first, *more = findings
    others = [f"\n  and: {other.message}" for other in more[: _SHOWN - 1]]
    if len(more) >= _SHOWN:
        others.append(f"\n  and {len(more) - _SHOWN + 1} more")
    return DefinitionError(first.message + "".join(others), where=draft.where(first.subject))
