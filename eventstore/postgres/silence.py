"""A server process that neither answers nor dies is given up.

No time-out of TCP or of the server helps against it: the connection is well, and nobody is at
home. The driver wakes ten times a second while it waits for an answer; so whoever waits sees for
himself, at no cost while answers come, how long nothing has moved on the line.
"""

import math
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

from eventstore import clock

R = TypeVar("R")

LONGEST = 15.0  # seconds without a byte to or from the server
# Of a statement that goes over much of the log: the server works, and says nothing meanwhile.
LONG = 600.0
EVER = math.inf  # of a connection that is one command's own, such as of a migration


class Silent(psycopg.OperationalError):
    """The server has said nothing for too long; the connection is closed."""


class Line(psycopg.Connection[tuple[Any, ...]]):
    """The driver's connection. A call on which nothing moves for `longest` seconds fails."""

    longest: float = LONGEST

    def wait(self, gen: Generator[Any, Any, R], *args: Any, **options: Any) -> R:
        """Wait for the server, as the driver does.

        Raises:
            Silent: it took too long; what became of the statement is not known.
        """
        try:
            return super().wait(_listening(gen, self), *args, **options)
        except Silent:
            self.close()  # the server may wake up, and answer what nobody asks any more
            raise


def _listening(gen: Generator[Any, Any, R], line: Line) -> Generator[Any, Any, R]:
    """Pass on between the driver and what waits for it, and end what hears nothing."""
    since = 0.0  # when it was first found that nothing moves
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                since = 0.0
            elif not since:
                since = clock.real_seconds()
            elif clock.real_seconds() - since > line.longest:
                raise Silent(f"the server has said nothing for {line.longest:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        result: R = end.value
        return result
