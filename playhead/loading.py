"""From `file.py:attribute` or `module:attribute` to the engine or workflow that it names."""

import difflib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import playhead
from playhead.importing import GRAMMAR, AppRefused, load_module

if TYPE_CHECKING:
    from engine.app import Engine
    from engine.workflow import Workflow

ATTRIBUTE = "engine"  # where in an app the engine stands, unless it is said


def load_engine(text: str) -> "Engine":
    """Give the engine of an app.

    Args:
        text: `file.py`, `file.py:attribute`, `module` or `module:attribute`.

    Raises:
        AppRefused: it cannot be loaded.
    """
    target, _, attribute = text.partition(":")
    if not target or ":" in attribute:
        raise AppRefused(f"{text!r} is no app; {GRAMMAR}")
    return _engine_in(load_module(target), target, attribute or ATTRIBUTE)


def load_workflow(text: str) -> "tuple[Engine, Workflow]":
    """Give the engine and the workflow of `APP:WORKFLOW`.

    Args:
        text: the app, with or without its attribute, and as its last part the workflow: its
            name, or the attribute of the app's module where it stands.

    Raises:
        AppRefused: it cannot be loaded, or there is no such workflow.
    """
    target, *rest = text.split(":")
    if not target or len(rest) > 2 or not all(rest):
        raise AppRefused(
            f"{text!r} is no workflow of an app; write file.py:workflow or"
            " file.py:engine:workflow, or the same with a module"
        )
    module = load_module(target)
    if not rest:
        engine = _engine_in(module, target, ATTRIBUTE)
        raise AppRefused(f"{text} names no workflow; {_choices(engine, text)}")
    attribute = rest[0] if len(rest) == 2 else ATTRIBUTE
    engine = _engine_in(module, target, attribute)
    return engine, workflow_of(
        engine, rest[-1], module=module, app=":".join([target, *rest[:-1]])
    )


def workflow_of(
    engine: "Engine", name: str, *, module: ModuleType | None = None, app: str = ""
) -> "Workflow":
    """Give a workflow of an engine by name, or by its attribute in the app's module.

    Raises:
        AppRefused: there is none.
    """
    known: Any = engine.workflows.get(name)
    found: Any = known if known is not None else getattr(module, name, None)
    if isinstance(found, playhead.Workflow):
        return found
    near = difflib.get_close_matches(name, engine.workflows, 1)
    hint = f"; did you mean {near[0]!r}? " if near else "; "
    what = (
        f"{name!r} is an engine, not" if isinstance(found, playhead.Engine) else "there is no"
    )
    what = f"{what} a workflow" if what.endswith("not") else f"{what} workflow {name!r}"
    raise AppRefused(f"{app or 'this app'}: {what}{hint}{_choices(engine, app)}")


def _choices(engine: "Engine", app: str) -> str:
    names = [f"{app}:{name}" if app else name for name in engine.workflows]
    if not names:
        return "its engine has no workflows; hand them over: Engine(url, workflows=[...])"
    return f"it has {', '.join(names)}"


def _engine_in(module: ModuleType, target: str, attribute: str) -> "Engine":
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise AppRefused(f"{target} has no {attribute!r}; {_engines(module, target)}")
        found = getattr(found, part)
    if isinstance(found, playhead.Engine):
        return found
    kind = type(found).__name__
    if isinstance(found, playhead.Workflow):
        advice = f"name the workflow where one is asked for; {_engines(module, target)}"
    else:
        advice = _engines(module, target)
    raise AppRefused(f"{target}:{attribute} is no Engine but a {kind}; {advice}")


def _engines(module: ModuleType, target: str) -> str:
    names = [n for n, value in vars(module).items() if isinstance(value, playhead.Engine)]
    if names:
        return f"an engine stands at {', '.join(f'{target}:{name}' for name in names)}"
    return "make one in it: engine = Engine('sqlite:///playhead.db', workflows=[...])"
