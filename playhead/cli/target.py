"""Which log a command is about, and which run in it."""

import contextlib
import difflib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import playhead
from engine import values
from eventstore.errors import LogError, StorageCorrupt
from playhead import importing, loading, settings
from playhead.cli import unread
from playhead.cli.inputs import read_moment
from playhead.cli.options import Wrong

if TYPE_CHECKING:
    from engine.app import Engine
    from engine.playhead import Playhead
    from engine.workflow import Workflow

MISSING = (
    f"which log? Give --url sqlite:///file.db (or {settings.URL}),"
    f" or the app that uses it: --app app.py (or {settings.APP})"
)
VERIFY = "; `playhead verify` says what can still be read"
MATCHES = 5  # runs named when a part of an id fits several


@contextlib.contextmanager
def reading(app: str | None, url: str | None, *, verifies: bool = False) -> Iterator["Engine"]:
    """Give an engine to look through; its database must exist.

    With a url no app is loaded, unless what is there is encoded: then it is asked for its codec.
    `verifies`: whoever looks is `verify` itself, to which nobody need be sent.
    """
    if url is None and app is None:
        raise Wrong(MISSING)
    engine = loading.load_engine(app) if url is None and app else playhead.Engine(url or "")
    must_exist(engine)
    with closed(engine, verifies=verifies):
        if app is None or url is None or not unread.is_unread(engine):
            yield engine
            return
    keyed = moved(loading.load_engine(app), url)
    with closed(keyed, verifies=verifies):
        yield keyed


@contextlib.contextmanager
def located(app: str | None, url: str | None) -> Iterator["Engine"]:
    """Give an engine to learn from where a log lies, of whatever schema; a file must exist."""
    if url is None and app is None:
        raise Wrong(MISSING)
    engine = loading.load_engine(app) if url is None and app else playhead.Engine(url or "")
    if engine.is_private or path_of(engine) is not None:
        must_exist(engine)
    with closed(engine):
        yield engine


@contextlib.contextmanager
def steering(app: str | None, url: str | None) -> Iterator["Engine"]:
    """Give an engine to steer with; an app, if there is one, knows types and breakers."""
    if app is None:
        with reading(app, url) as engine:
            yield engine
        return
    engine = moved(loading.load_engine(app), url)
    must_exist(engine)
    with closed(engine):
        yield engine


def app_engine(app: str | None, url: str | None) -> "Engine":
    """Give the engine of an app, on another database if a url says so.

    Raises:
        Wrong: no app is given.
    """
    if app is None:
        raise Wrong(f"which app? Name it: app.py or app.py:engine, or set {settings.APP}")
    return moved(loading.load_engine(app), url)


def app_workflow(target: str, app: str | None, url: str | None) -> "tuple[Engine, Workflow]":
    """Give engine and workflow of `APP:WORKFLOW`, or of a workflow's name and an app."""
    if app is not None and (":" not in target and not target.endswith(".py")):
        engine, workflow = loading.load_workflow(f"{_whole(app)}:{target}")
    elif ":" in target or target.endswith(".py"):
        engine, workflow = loading.load_workflow(target)
    else:
        raise Wrong(
            f"which app is {target!r} a workflow of? Write APP:WORKFLOW, such as"
            f" app.py:{target}, or give --app (or {settings.APP})"
        )
    return moved(engine, url), workflow


def _whole(app: str) -> str:
    return app if ":" in app else f"{app}:{loading.ATTRIBUTE}"


def moved(engine: "Engine", url: str | None) -> "Engine":
    """Give the same engine on another database."""
    if url is None or url == engine.url:
        return engine
    return playhead.Engine(
        url,
        workflows=engine.workflows.values(),
        triggers=engine.triggers.values(),
        threads=engine.threads,
        worker=engine.worker_name,
        lease=engine.lease,
        grace=engine.grace,
        max_value=engine.max_value,
        tape=engine.tape,
        codec=engine.codec,
        secrets=engine.secrets,
    )


@contextlib.contextmanager
def closed(engine: "Engine", *, verifies: bool = False) -> Iterator[None]:
    """Let go of the log at the end; say of a damaged log that it is damaged, and where."""
    try:
        yield
    except LogError as error:
        raise _told(error, engine, verifies=verifies) from error
    except (ValueError, LookupError, playhead.LogDamaged) as error:
        fault = next(iter(engine.log.verify()), None) if path_of(engine) else None
        if fault is None:
            raise
        rest = "" if verifies else f" All faults: playhead verify --url {engine.place}"
        raise Wrong(
            f"the log is damaged: {fault}. What stumbled over it: {error}.{rest}"
        ) from error
    except playhead.StorageError as error:
        raise _told(error.__cause__ or error, engine, verifies=verifies) from error
    finally:
        with contextlib.suppress(playhead.PlayheadError, LogError):
            engine.close()


def _told(error: BaseException, engine: "Engine", *, verifies: bool) -> playhead.StorageError:
    """Give an error of the log as ours; one of damage says who can say more, if anybody can."""
    is_said = "playhead verify" in str(error)
    helps = isinstance(error, StorageCorrupt) and not (verifies or is_said)
    helps = helps and _can_be_opened(engine)
    return playhead.StorageError(f"{error}{VERIFY if helps else ''}")


def _can_be_opened(engine: "Engine") -> bool:
    """Tell whether anything of a damaged database can be read."""
    try:
        engine.log.changed()
    except LogError:
        return False
    return True


def path_of(engine: "Engine") -> str | None:
    """Give the file of an engine's log, None if it is not kept in one."""
    return engine.log.path


def must_exist(engine: "Engine") -> None:
    """Refuse a database that is not there yet: reading must not make one.

    Raises:
        Wrong: there is no such file, or the log is private to its process.
    """
    if engine.is_private:
        raise Wrong(
            f"{engine.place} is private to the process that made it: nothing in it can be read"
            " from here; use a file: sqlite:///playhead.db"
        )
    path = path_of(engine)
    if path is None:
        try:
            is_there = engine.log.is_there()
        except LogError as error:
            raise playhead.StorageError(str(error)) from error
        if not is_there:
            raise Wrong(
                f"there is no log in {engine.place} yet; the first run makes it:"
                " playhead run APP:WORKFLOW"
            )
        return
    if not os.path.exists(path):  # noqa: PTH110
        raise Wrong(
            f"there is no database {importing.shown(path)} ({engine.place}); the first run makes"
            " it: playhead run APP:WORKFLOW"
        )
    if os.path.isfile(path) and not os.path.getsize(path):  # noqa: PTH113, PTH202
        raise Wrong(f"{importing.shown(path)} ({engine.place}) is empty: it is no database")


def unknown_workflow(engine: "Engine", name: str) -> str | None:
    """Say that neither log nor app knows a workflow of a name; None: one does.

    Raises:
        ValueRefused: no workflow can have that name.
    """
    log: Any = engine.log
    values.text(name, "workflow")
    if name in engine.workflows or log.heads(kind="run", name=name, limit=1):
        return None
    known = sorted({*engine.workflows, *(count.name for count in log.counts("run"))})
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    return f"there is no run of a workflow {name!r} in {engine.place}; {hint}"


def run_id(engine: "Engine", text: str) -> str:
    """Give the id of the run that is meant: an id, the begin or else the end of one, or `last`.

    Raises:
        Wrong: none is meant, or several are.
    """
    log: Any = engine.log
    if text == "last":
        newest = log.heads(kind="run", limit=1)
        if not newest:
            raise Wrong("there is no run in this log yet")
        return str(newest[0].id)
    if not (text.isascii() and text.isprintable()):
        raise Wrong(f"no run {text!r} in {engine.place}; `playhead runs` lists them")
    head = log.head(text) if text else None
    if head is not None and head.kind == "run":
        return text
    asked = text.lower()
    fits: list[str] = log.matching("run", asked, limit=MATCHES + 1) if asked else []
    if len(fits) == 1:
        return fits[0]
    if not fits:
        raise Wrong(f"no run {text!r} in {engine.place}; `playhead runs` lists them")
    more = " and more" if len(fits) > MATCHES else ""
    raise Wrong(f"{text!r} may be any of {', '.join(fits[:MATCHES])}{more}; write more of it")


def head_at(engine: "Engine", run: str, at: str | None) -> "Playhead":
    """Give a run's playhead, standing where `--at` says.

    Raises:
        Wrong: there is no such version, or that is no time.
    """
    head = engine.playhead(run)
    if at is None:
        return head
    try:
        return head.seek(int(at) if at.lstrip("+-").isdigit() else read_moment(at))
    except ValueError as error:
        raise Wrong(f"--at {at}: {error}") from None
