"""What triggers refuse: the engine's own tree, with the line at which the trigger was made.

DefinitionError                a trigger that cannot be right, or that this version lacks
"""

import inspect
from pathlib import Path

from engine.errors import DefinitionError

_HERE = Path(__file__).parent


def wrong(message: str) -> DefinitionError:
    """Give the error for a trigger that cannot be right, to be raised."""
    return DefinitionError(message, where=_where())


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
