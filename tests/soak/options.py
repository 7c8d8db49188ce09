"""What one round is asked to be."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """One round: where it plays, and how hard."""

    kind: str  # "sqlite" or "postgres"
    url: str  # of an empty log
    folder: Path  # for everything else
    seed: int
    seconds: float = 12.0  # of chaos
    daemons: int = 3
    lease: float = 1.5  # seconds
    threads: int = 8  # of each daemon
    is_pruning: bool = False
