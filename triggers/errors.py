"""What triggers refuse: the engine's own tree, with the line at which the trigger was made.

DefinitionError                a trigger that cannot be right, or that this version lacks
"""

import difflib
import inspect
from collections.abc import Sequence
from pathlib import Path

from engine.errors import DefinitionError

_HERE = Path(__file__).parent


def wrong(message: str) -> DefinitionError:
    """Give the error for a trigger that cannot be right, to be raised."""
    return DefinitionError(message, where=_where())


def one_of(option: str, value: object, words: Sequence[str]) -> None:
    """Refuse a word that is none of those that an option takes.

    Raises:
        DefinitionError: it names them all, and the near miss.
    """
    if isinstance(value, str) and value in words:
        return
    near = difflib.get_close_matches(str(value), words, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise wrong(f"{option}={value!r} is none of {', '.join(map(repr, words))}{hint}")


def not_yet(what: str) -> DefinitionError:
    """Give the error for what is part of the contract and not of this version, to be raised."""
    return DefinitionError(f"this version of Playhead does not have {what} yet", where=_where())


def _where() -> str | None:
    """Give `file.py:12` of the nearest caller outside this package."""
    frame = inspect.currentframe()
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if _HERE not in path.parents:
            return f"{path.name}:{frame.f_lineno}"
        frame = frame.f_back
    return None
