"""`breakers`: what stands between runs and the services they call."""

import difflib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from playhead import render
from playhead.cli import out, target
from playhead.cli.options import App, Json, Url, Wrong

if TYPE_CHECKING:
    from engine.app import Engine

BREAKER = "breaker:"


class Steer(StrEnum):
    """What can be done to a breaker."""

    trip = "trip"
    reset = "reset"
    disable = "disable"


def breakers(
    action: Annotated[Steer | None, typer.Argument(help="Or nothing: list them.")] = None,
    name: Annotated[str | None, typer.Argument(help="The breaker's name.")] = None,
    *,
    app: App = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """List circuit breakers; trip one open, reset it closed, or disable it until reset."""
    with target.steering(app, url) as engine:
        known = _known(engine)
        if action is not None:
            if name is None:
                raise Wrong(f"which breaker? playhead breakers {action} NAME")
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {_listed(known)}"
                raise Wrong(f"there is no breaker {name!r} in {engine.place}; {hint}")
            getattr(engine.breaker(name), action.value)()
            known = [name]
        docs = [_breaker(engine, one) for one in known]
    if json:
        out.result(docs)
    elif docs:
        out.table(
            ("breaker", "state", "failures in a row", "open until"),
            [
                [d["name"], out.styled(d["state"]), str(d["failures"]), d["until"] or "-"]
                for d in docs
            ],
        )
    else:
        out.note("no breakers")


def _known(engine: "Engine") -> list[str]:
    """Give the names of the breakers that the log, its definitions or the app know."""
    log: Any = engine.log
    names = {head.id.removeprefix(BREAKER) for head in log.heads(kind="breaker")}
    for workflow in engine.workflows.values():
        names |= set(workflow.breakers)
    for definition in {count.needs for count in log.counts("run") if count.needs}:
        names |= {b.name for b in engine.repository.plan(definition).definition.breakers}
    return sorted(names)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _breaker(engine: "Engine", name: str) -> render.Doc:
    breaker = engine.breaker(name)
    return {
        "name": name,
        "state": breaker.state,
        "failures": breaker.failures,
        "until": render.iso(breaker.until),
    }
