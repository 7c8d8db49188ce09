"""Patterns: which names below a folder are meant. Pure, save for the current directory.

`*` stands for any part of a name, `**` for any number of folders, also none. A leading dot must
be written. All other characters stand for themselves.
"""

import os
import re
from pathlib import Path
from typing import Any

from triggers.errors import wrong

# Names that programs give to what is not finished yet, or is none of the user's files.
UNFINISHED = (
    "*~", "*.tmp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.download", "*.swp",
    "4913", "~$*", ".~lock.*", ".nfs*", "@eaDir", ".DS_Store",
)  # fmt: skip
_RSYNC = re.compile(r"\..+\.[A-Za-z0-9]{6}", re.DOTALL)  # `.name.XXXXXX` while it transfers


class Pattern:
    """A folder and what is meant below it.

    Attributes:
        root: absolute path of the folder above the first `*`.
        is_deep: whether folders below the root are meant too.
    """

    def __init__(self, text: str) -> None:
        """Take a pattern, relative to the current directory or absolute.

        Raises:
            DefinitionError: it names a folder or nothing, or is not UTF-8.
        """
        if "\0" in text:
            raise wrong(f"pattern {text!r} fits no file: no name has a zero byte")
        if not text or text.endswith(("/", os.sep)):
            raise wrong(f"pattern {text!r} names no files; write e.g. {text + '*'!r}")
        whole = os.path.abspath(text)  # noqa: PTH100 - links are left as the user wrote them
        if not is_text(whole):
            raise wrong(f"the folder of pattern {text!r} has a name that is not UTF-8")
        if "*" not in text and os.path.isdir(whole):  # noqa: PTH112
            raise wrong(f"{text!r} is a folder; write {text + '/*'!r} for the files in it")
        parts = Path(whole).parts
        first = next((n for n, part in enumerate(parts) if "*" in part), len(parts) - 1)
        self.root = str(Path(*parts[:first]))
        below = [*parts[first:]]
        if below[-1] == "**":
            below.append("*")
        self.is_deep = len(below) > 1
        self._names = [None if part == "**" else _name(part) for part in below]
        ignored = [
            one
            for one in (*map(_name, UNFINISHED), _RSYNC)
            if not any(one.fullmatch(part) for part in below)
        ]
        self._ignored = re.compile("|".join(one.pattern for one in ignored), re.DOTALL)

    @property
    def start(self) -> frozenset[int]:
        """Give the places in the pattern at which the root stands."""
        return self._closure({0})

    def below(self, places: frozenset[int], name: str) -> frozenset[int]:
        """Give the places at which a folder stands; none: nothing in it is meant."""
        if self.ignores(name):
            return frozenset()
        on = set()
        for place in places:
            part = self._names[place]
            if part is None:
                if not name.startswith("."):
                    on.add(place)
            elif place + 1 < len(self._names) and part.fullmatch(name):
                on.add(place + 1)
        return self._closure(on)

    def fits(self, places: frozenset[int], name: str) -> bool:
        """Tell whether a file's name fits, in a folder that stands at these places."""
        last = len(self._names) - 1
        part = self._names[last]
        return last in places and part is not None and part.fullmatch(name) is not None

    def ignores(self, name: str) -> bool:
        """Tell whether a name is a temporary one that the pattern itself does not ask for."""
        return self._ignored.fullmatch(name) is not None

    def _closure(self, places: set[int]) -> frozenset[int]:
        for place in sorted(places):
            while self._names[place] is None:  # `**` stands for no folder too
                place += 1  # noqa: PLW2901
                places.add(place)
        return frozenset(places)


def pattern_text(pattern: Any) -> str:
    """Give a pattern as text, be it a text or a path. *Pure.*

    Raises:
        DefinitionError: it is neither.
    """
    text = os.fspath(pattern) if isinstance(pattern, os.PathLike) else pattern
    if not isinstance(text, str):
        raise wrong(f"pattern {text!r} is neither text nor path; write e.g. 'inbox/*.txt'")
    return text


def _name(part: str) -> re.Pattern[str]:
    """Give one name of a pattern as a regular expression."""
    body = ".*".join(map(re.escape, part.split("*")))
    return re.compile(rf"(?!\.){body}" if part.startswith("*") else body, re.DOTALL)


def is_text(path: str) -> bool:
    """Tell whether a path is UTF-8. *Pure.*"""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
