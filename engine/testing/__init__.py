"""For tests of workflows: rules by example, a process that is cut off, a fold that is held."""

from engine.testing.cut import Crashed, Cut, crash_after
from engine.testing.fold import assert_replays
from engine.testing.rules import Given, given, value

__all__ = ["Crashed", "Cut", "Given", "assert_replays", "crash_after", "given", "value"]
