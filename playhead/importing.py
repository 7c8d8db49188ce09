"""Import a user's app, from a file or by its dotted name; refused with file, line and advice.

Laws of this file: nothing of the other packages is imported before it is known that they are
ours, and not a user's file of the same name; no refusal is a traceback.
"""

import contextlib
import difflib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import playhead

PACKAGES = ("eventstore", "engine", "triggers", "playhead")
GRAMMAR = "write file.py:attribute or module:attribute, such as app.py:engine"


class AppRefused(Exception):
    """An app that cannot be loaded; the message says where and what to do."""


def home() -> Path:
    """Give the folder that Playhead's packages lie in."""
    return Path(playhead.__file__).resolve().parent.parent


def shown(path: str | Path) -> str:
    """Give a path as people would write it from here."""
    path = os.path.abspath(path)  # noqa: PTH100 - without following links
    near = os.path.relpath(path)
    return path if near.startswith("..") else near


# Names that would be taken for ours.


def check_packages() -> None:
    """Refuse to go on if Python would find somebody else's package in place of ours.

    Raises:
        AppRefused: names the file and what to do.
    """
    for name in PACKAGES:
        ours = home() / name / "__init__.py"
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise AppRefused(
                f"Playhead's package {name!r} is missing beside {ours.parent.parent};"
                " install it again: pip install --force-reinstall playhead"
            )
        places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
        if spec.origin is None or Path(spec.origin).resolve() != ours:
            _refuse_shadow(Path(places[0] or name), name)


def check_folder(folder: Path) -> None:
    """Refuse a folder with a module in it that bears the name of one of our packages.

    Raises:
        AppRefused: names the file and what to do.
    """
    for name in PACKAGES:
        file, package = folder / f"{name}.py", folder / name
        if file.is_file():
            _refuse_shadow(file, name)
        is_ours = package.resolve() == home() / name
        if package.is_dir() and not is_ours and any(package.glob("*.py")):
            _refuse_shadow(package, name)


def _refuse_shadow(place: Path, name: str) -> None:
    if place.name == "__init__.py":
        place = place.parent
    end = ".py" if place.suffix == ".py" else "/"
    raise AppRefused(
        f"{shown(place)} has the name of Playhead's own package {name!r}: one of the two would"
        f" be imported in place of the other. Rename it, to my_{name}{end} for example, and the"
        " imports of it"
    )


# Importing.


def load_module(target: str) -> ModuleType:
    """Import an app's module, from a file in any folder or by its dotted name.

    *Touches the world: puts the working folder, and the file's, first on `sys.path`.*

    Raises:
        AppRefused: it is not there, or fails when imported; names file and line.
    """
    here = Path.cwd()
    check_folder(here)
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
    if target.endswith(".py"):
        return _load_file(target)
    if "/" in target or os.sep in target or target.startswith("."):
        there = f"; write {target}.py" if Path(f"{target}.py").is_file() else f"; {GRAMMAR}"
        raise AppRefused(f"{target!r} is neither a .py file nor the name of a module{there}")
    with _explained(target):
        return importlib.import_module(target)


def _load_file(target: str) -> ModuleType:
    path = Path(target)
    if not path.is_file():
        folder = path.parent
        if not folder.is_dir():
            raise AppRefused(
                f"there is no folder {folder}, so no {target}; you are in {Path.cwd()}"
            )
        near = difflib.get_close_matches(path.name, [p.name for p in folder.glob("*.py")], 1)
        hint = (
            f"did you mean {shown(folder / near[0])}?" if near else f"you are in {Path.cwd()}"
        )
        raise AppRefused(f"there is no file {target}; {hint}")
    path = path.resolve()
    check_folder(path.parent)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    is_taken = known is not None or path.stem in sys.stdlib_module_names
    name = f"app_{path.stem}" if is_taken or not path.stem.isidentifier() else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AppRefused(f"{target} cannot be imported: Python has no loader for it")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with _explained(target):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


@contextlib.contextmanager
def _explained(target: str) -> Iterator[None]:
    """Turn whatever an import raises into a refusal that names file and line."""
    try:
        yield
    except SyntaxError as error:
        line = f"\n    {error.text.strip()}" if error.text else ""
        raise AppRefused(
            f"{shown(error.filename or target)}:{error.lineno}: {error.msg}{line}"
        ) from error
    except SystemExit as error:
        where = _where(error) or target
        raise AppRefused(
            f"{where}: the app ends the program while it is imported; put that under"
            " `if __name__ == '__main__':`"
        ) from error
    except Exception as error:
        raise AppRefused(_why(error, target)) from error


def _why(error: Exception, target: str) -> str:
    where = _where(error)
    if isinstance(error, ModuleNotFoundError):
        if where is None:
            return _no_module(target, error.name or target)
        return (
            f"{where}: there is no module {error.name!r}; install it in this environment"
            f" ({sys.prefix}), or put its file beside the app"
        )
    if getattr(error, "where", None):
        return str(error)  # a DefinitionError names its line itself
    return f"{where or target}: {type(error).__name__}: {error}"


def _no_module(target: str, missing: str) -> str:
    root, _, last = target.rpartition(".")
    if root and Path(f"{root.replace('.', '/')}.py").is_file():
        hint = f"did you mean {root}:{last}?"
    else:
        hint = "is it in this folder, or installed? A file is named with its .py"
    return f"there is no module {missing!r}; {hint} You are in {Path.cwd()}"


def _where(error: BaseException) -> str | None:
    """Give the line of the user's code that an error came from; None: from none of it."""
    own = [str(home() / name) + os.sep for name in PACKAGES]
    lines = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<", *own)) and "importlib" not in frame.filename
    ]
    beside = [place for place in lines if _is_beside(place[0])]
    if not lines:
        return None
    file, line = (beside or lines)[-1]
    return f"{shown(file)}:{line}"


def _is_beside(file: str) -> bool:
    return "site-packages" not in file and not file.startswith(sys.base_prefix + os.sep)
