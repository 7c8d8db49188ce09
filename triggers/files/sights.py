"""What is remembered of a folder from look to look; no larger than the folder. Pure.

Nothing here is truth: who forgets all of it asks the log again and starts nothing twice.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from triggers.files.complete import Rule
from triggers.files.scan import Found


class Sight:
    """A file as it has looked since some moment; another size or mtime is another sight."""

    __slots__ = (
        "before", "born", "evidence", "has_marker", "is_known", "is_stale", "mtime", "relative",
        "round", "since", "size", "told",
    )  # fmt: skip

    def __init__(
        self, file: Found, now: int, *, before: int | None, last: "Sight | None"
    ) -> None:
        self.relative, self.size, self.mtime = file
        self.since = now  # when it was first seen like this, microseconds
        self.born = now  # when it was first seen to be in the making
        self.before = before  # when a look had not seen it like this; None: it may be old
        self.evidence = ""  # why it is complete
        self.is_known = False  # it was fired or declined: nothing more is owed
        self.told: frozenset[str] = frozenset()  # reasons that were told of it
        self.has_marker = False
        self.is_stale = False  # the marker stands there from before it changed
        self.round = 0
        if last is not None and not last.is_known:
            self.born = min(last.born, now)
            self.told = last.told
        if last is not None:
            self.is_stale = last.has_marker


class Ready(NamedTuple):
    """What a look leaves to be done."""

    files: list[Sight]  # complete, oldest mtime first
    due: int | None  # when the next of the others can be complete, microseconds
    young: list[Sight]  # those that were waited for too long; each is given once
    still: list[Sight]  # those that have stood still, but have no marker


class Sights:
    """All files of a folder, as the last look saw them."""

    def __init__(self, rule: Rule) -> None:
        """Take the rule that says when a file is complete."""
        self._rule = rule
        self._sights: dict[str, Sight] = {}
        self._rounds = 0
        self._looked: int | None = None  # when the last look was, microseconds

    def look(
        self,
        files: Iterable[Found],
        now: int,
        *,
        hints: Mapping[str, str] | None = None,
        markers: Collection[str] = (),
    ) -> Ready:
        """Take in a look at the folder.

        Args:
            files: all that the look saw.
            now: by the engine's clock, microseconds.
            hints: by relative path, why a watch holds a file to be complete.
            markers: relative paths of the markers that the look saw.
        """
        self._rounds += 1
        ready = Ready([], None, [], [])
        due: int | None = None
        hints = hints or {}
        count = 0
        for file in files:
            count += 1
            sight = self._sight(file, now)
            if not sight.is_known:
                when = self._judge(sight, now, hints, markers, ready)
                if when is not None and (due is None or when < due):
                    due = when
        if count != len(self._sights):
            self._sights = {
                name: sight
                for name, sight in self._sights.items()
                if sight.round == self._rounds
            }
        self._looked = now
        ready.files.sort(key=lambda sight: (sight.mtime, sight.relative))
        return ready._replace(due=due)

    def glance(self, files: Iterable[Found], now: int, hints: Mapping[str, str]) -> list[Sight]:
        """Take in single files that a watch holds to be complete; give those that were not."""
        ready = Ready([], None, [], [])
        for file in files:
            sight = self._sight(file, now)
            if not sight.is_known and not sight.evidence:
                self._judge(sight, now, hints, (), ready)
        return ready.files

    def _sight(self, file: Found, now: int) -> Sight:
        sight = self._sights.get(file.relative)
        if sight is None or sight.size != file.size or sight.mtime != file.mtime:
            sight = Sight(file, now, before=self._looked, last=sight)
            self._sights[file.relative] = sight
        elif sight.since > now:  # the clock was put back
            sight.since, sight.born = now, min(sight.born, now)
        sight.round = self._rounds
        return sight

    def _judge(
        self,
        sight: Sight,
        now: int,
        hints: Mapping[str, str],
        markers: Collection[str],
        ready: Ready,
    ) -> int | None:
        """Sort one file in; give when it can be complete, if only time is wanting."""
        rule = self._rule
        stands = sight.since + rule.settle <= now
        marker = None
        if rule.marker is not None:
            marker = rule.marker.beside(sight.relative, markers)
            sight.has_marker = marker is not None
            sight.is_stale &= sight.has_marker
        if not sight.evidence or rule.marker is not None:
            if rule.kind == "rename":
                sight.evidence = "renamed in"
            elif marker is not None and (stands or not sight.is_stale):
                sight.evidence = f"marker {marker.rpartition('/')[2]}"
            elif rule.marker is not None:
                sight.evidence = ""
            elif sight.relative in hints:
                sight.evidence = hints[sight.relative]
            elif stands:
                sight.evidence = rule.evidence(now - sight.since)
        if sight.evidence:
            ready.files.append(sight)
            return None
        if stands and rule.marker is not None:
            ready.still.append(sight)
        has_changed = rule.marker is not None or sight.born != sight.since
        is_late = has_changed and now - sight.born > rule.patience
        if is_late and "too young" not in sight.told:
            sight.told |= {"too young"}
            ready.young.append(sight)
        return None if marker is None and rule.marker is not None else sight.since + rule.settle

    def forget(self, sight: Sight) -> None:
        """Take note that a file is gone, or is another one now: the next look sees it anew."""
        if self._sights.get(sight.relative) is sight:
            del self._sights[sight.relative]

    def __len__(self) -> int:
        return len(self._sights)
