"""Ask the user's code what a choice needs: `when`, delays, guards. What it says is a command."""

import contextlib
from datetime import datetime, timedelta
from typing import Any

from engine.arguments import Arguments
from engine.calls import Call
from engine.core import commands as c
from engine.core.advance import Question
from engine.core.events import ErrorDoc
from engine.errors import ValueRefused
from engine.failures import error_doc, is_storage
from engine.repository import Hold, Repository
from eventstore import clock


class Questions:
    """Asks `when`s, delays and guards; one for an engine."""

    def __init__(self, repository: Repository, arguments: Arguments) -> None:
        self._repository = repository
        self._arguments = arguments

    def answer(self, hold: Hold, question: Question) -> c.Command | None:
        """Ask a `when`, a delay or guards; None: the `when` said yes."""
        if question.kind == "when":
            return self._ask_when(hold, question.name)
        if question.kind == "delay":
            return self._ask_delay(hold, question.name)
        return self._ask_guards(hold, question)

    def _ask_when(self, hold: Hold, name: str) -> c.Command | None:
        call = self._repository.workflows[hold.run.workflow].code.works[name].when
        try:
            if call is None or self._ask(call, hold):
                return None
        except Exception as error:
            if is_storage(error):
                raise
            return c.AnswerWhen(name, error=error_doc(error))
        return c.AnswerWhen(name)

    def _ask_delay(self, hold: Hold, name: str) -> c.Command:
        code = self._repository.workflows[hold.run.workflow].code
        call = code.delays.get(name) or (code.works[name].delay if name in code.works else None)
        if call is None:
            doc = ErrorDoc("NoCode", f"{name!r} has no code for its delay")
            return c.SetTimer(name, error=doc)
        try:
            return c.SetTimer(name, due=_due(self._ask(call, hold), name))
        except Exception as error:
            if is_storage(error):
                raise
            return c.SetTimer(name, error=error_doc(error))

    def _ask_guards(self, hold: Hold, question: Question) -> c.Command:
        """Ask guards edge by edge until one edge holds; each guard once."""
        guards = self._repository.workflows[hold.run.workflow].code.guards
        answers: dict[str, bool] = {}
        asked = ""
        under = {question.name: question.version} if question.version in hold.run.inbox else {}
        try:
            for edge in hold.plan.edges.get((hold.run.place or "", question.name), ()):
                for asked in (*edge.conditions, *edge.unless):
                    if asked not in answers:
                        answers[asked] = bool(self._ask(guards[asked], hold, under))
                if all(answers[g] for g in edge.conditions) and not any(
                    answers[g] for g in edge.unless
                ):
                    break
        except Exception as error:
            if is_storage(error):
                raise
            doc = error_doc(error)
            return c.PullTrigger(
                question.name, question.version, answers, error=doc, guard=asked
            )
        return c.PullTrigger(question.name, question.version, answers)

    def _ask(self, call: Call, hold: Hold, payloads: dict[str, int] | None = None) -> Any:
        with contextlib.ExitStack() as stack:
            return call.fn(**self._arguments.make(call, hold, None, stack, payloads or {}))


def _due(answer: Any, name: str) -> int:
    """Give the moment that a delay function meant, in microseconds."""
    if isinstance(answer, timedelta):
        due = clock.now_us() + answer // timedelta(microseconds=1)
    elif isinstance(answer, datetime):
        due = clock.to_us(answer)
    elif isinstance(answer, int | float) and not isinstance(answer, bool):
        due = clock.now_us() + int(answer * clock.SECOND)
    else:
        raise ValueRefused(
            f"the delay of {name!r} gave {answer!r}; give a timedelta, seconds or an aware datetime"
        )
    if due > clock.LAST:
        raise ValueRefused(
            f"the delay of {name!r} gave {answer!r}: that is after the year 9999"
        )
    return due
