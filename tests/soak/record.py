"""What a round has left behind, as the judge reads it: plain values, and nothing to ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One event of a run."""

    version: int
    type: str
    subject: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    position: int = 0
    at: str = ""

    def __str__(self) -> str:
        return (
            f"{self.at} {self.version} {self.type} {self.subject} {str(dict(self.data))[:160]}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """One run: its row, and its events if retention has not taken them."""

    id: str
    workflow: str
    status: str = "succeeded"
    key: str = ""
    events: tuple[Told, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One round."""

    lives: tuple[Life, ...] = ()
    positions: tuple[int, ...] = ()  # of all events in the log
    left: tuple[
        tuple[str, str], ...
    ] = ()  # run or file, and how it stood when the time was over
    verified: tuple[str, ...] = ()  # what the deep check has found
    keys: Mapping[str, str] = field(default_factory=dict)  # key -> the run that was answered
    dropped: tuple[str, ...] = ()  # names of files laid into the inbox
    done: tuple[str, ...] = ()  # names of files moved away after their runs
    followed: tuple[tuple[int, tuple[int, ...]], ...] = ()  # where each life began, and went
    watched: tuple[int, ...] = ()  # positions that the live watcher was handed
    kills: int = 0  # of daemons
    exits: Mapping[int, int] = field(
        default_factory=dict
    )  # daemon -> exit code; below 0: it left none
    said: Mapping[str, str] = field(default_factory=dict)  # file -> what a process said
    faults: tuple[str, ...] = ()  # of the sender, the watcher, the commands
    is_pruned: bool = False  # whether old events are gone
