"""What the three hosts have in common: a workflow, and an engine that is not open yet."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playhead import Engine, FileTrigger, Signal, Workflow, step

HOME = Path(os.environ.get("SHOP_HOME", ".")).resolve()
INBOX = HOME / "orders"


@dataclass
class Payment:
    """What is told when an order is paid."""

    amount: float


@step
def reserve(order: str) -> str:
    """Put something aside."""
    return f"{order} is put aside"


@step
def ship(reserve: str, paid: Payment) -> str:
    """Send it off, once it is paid."""
    return f"{reserve}, paid {paid.amount:.2f}, shipped"


@step
def note(path: Path) -> str:
    """Take an order that came as a file."""
    return f"a letter from {path.stem}"


orders = Workflow("orders", steps=[reserve, Signal("paid", Payment), ship])
letters = Workflow("letters", steps=[note])


def make(*triggers: Any) -> Engine:
    """Make the engine of a host, with triggers of its own; opening it is the host's affair."""
    INBOX.mkdir(exist_ok=True)
    return Engine(
        f"sqlite:///{HOME / 'shop.db'}",
        workflows=[orders, letters],
        triggers=[FileTrigger(INBOX / "*.txt", letters, settle=0.1), *triggers],
        grace=10,
    )
