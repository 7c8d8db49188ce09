"""Waiting for a condition, with a deadline on the real clock."""

import threading
from collections.abc import Callable
from typing import TypeVar

import freezegun.api

Answer = TypeVar("Answer")


def wait_for(condition: Callable[[], Answer], what: str, seconds: float = 60.0) -> Answer:
    """Give the first true answer of a condition."""
    pause, end = threading.Event(), freezegun.api.real_monotonic() + seconds
    while not (answer := condition()):
        if freezegun.api.real_monotonic() > end:
            raise AssertionError(f"{what} did not come about within {seconds:g} s")
        pause.wait(0.01)
    return answer
