"""What a choice may lean on besides the run: the time, the worker, the breakers, free slots."""

from collections.abc import Callable, Container, Mapping

import msgspec

from engine.core.breaker import BreakerState
from engine.core.define import BreakerSpec


def _nothing_free(_: str) -> bool:
    return False


class Facts(msgspec.Struct, frozen=True):
    """The world as handed to `decide` and `advance`; values only, and slots to take."""

    now: int  # microseconds
    worker: str = ""
    breakers: Mapping[str, BreakerState] = {}  # folded by the caller as events are decided
    specs: Mapping[str, BreakerSpec] = {}
    take: Callable[[str], bool] = (
        _nothing_free  # reserve a slot for a step; False: none is free
    )
    queued: frozenset[str] = frozenset()  # breakers behind which others wait: newcomers park
    answered: Container[str] = frozenset()  # steps whose `when` has said yes
    woken: bool = False  # parked steps may ask their breaker again
