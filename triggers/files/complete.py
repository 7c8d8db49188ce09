"""When a file is complete: the rule that a trigger declares, and the evidence it gives. Pure.

Only the engine's clock counts, never the age of the mtime: copy tools set it back.
"""

import re
from collections.abc import Collection

from eventstore import clock
from triggers.errors import one_of, wrong

KINDS = ("settle", "close", "rename", "marker")
RESTLESS = 10.0  # seconds; a file that has kept changing for longer is told of
UNMARKED = 60.0  # seconds; so is one that has waited for its marker for longer


class Marker:
    """Names of files that say of another, beside them, that it is complete."""

    def __init__(self, text: str) -> None:
        """Take a name with one `*`, which stands for the file's name, or that less its suffix.

        Raises:
            DefinitionError: it is no such name.
        """
        if not isinstance(text, str) or text.count("*") != 1 or "/" in text or text == "*":
            raise wrong(
                f"marker={text!r} is to be a name with one * in it, for the file's own name;"
                " write e.g. marker='*.done'"
            )
        self.text = text
        self._before, self._behind = text.split("*")
        self.names = re.compile(
            f"{re.escape(self._before)}.+{re.escape(self._behind)}", re.DOTALL
        )

    def candidates(self, path: str) -> tuple[str, ...]:
        """Give what the marker of a file may be called, with the file's folder before it."""
        folder, slash, name = path.rpartition("/")
        stem, dot, _ = name.rpartition(".")
        return tuple(
            f"{folder}{slash}{self._before}{about}{self._behind}"
            for about in ((name, stem) if dot and stem else (name,))
        )

    def beside(self, relative: str, markers: Collection[str]) -> str | None:
        """Give the marker of a file among those that a look saw; None: it has none."""
        return next((one for one in self.candidates(relative) if one in markers), None)


class Rule:
    """What makes a file complete.

    Attributes:
        kind: "settle", "close", "rename" or "marker".
        settle: microseconds that lie between two equal looks; 0: one look will do.
        marker: of what name, if kind is "marker".
        patience: microseconds after which a file that is not complete is told of.
    """

    def __init__(self, complete: str, marker: str | None, settle: int) -> None:
        """Take the options of a trigger.

        Raises:
            DefinitionError: they cannot be right, or contradict each other.
        """
        if isinstance(complete, str) and complete.startswith("marker="):
            if marker not in (None, complete.removeprefix("marker=")):
                raise wrong(f"complete={complete!r} and marker={marker!r} name two markers")
            complete, marker = "marker", complete.removeprefix("marker=")
        if complete == "marker" and marker is None:
            raise wrong("complete='marker' wants to know the marker; write marker='*.done'")
        if marker is not None and complete not in ("settle", "marker"):
            raise wrong(
                f"complete={complete!r} and marker={marker!r} contradict each other: a file with"
                " a marker is complete when that is there; leave complete= out"
            )
        one_of("complete", complete, KINDS)
        self.kind = "marker" if marker is not None else complete
        self.marker = None if marker is None else Marker(marker)
        self.settle = settle
        restless = max(round(RESTLESS * clock.SECOND), 5 * settle)
        self.patience = round(UNMARKED * clock.SECOND) if self.marker else restless

    def evidence(self, stood: int) -> str:
        """Give in words that a file has stood still for these microseconds."""
        if not self.settle:
            return "seen at one look"
        return f"same size and mtime at two looks {stood / clock.SECOND:.1f} s apart"
