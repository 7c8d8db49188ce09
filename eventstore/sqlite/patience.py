"""How long we wait for other programs, and how a driver's error becomes ours."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from eventstore import clock
from eventstore.errors import StorageBusy
from eventstore.sqlite import faults

T = TypeVar("T")

SECONDS = 10.0  # of waiting for another program's lock before StorageBusy


class Patience:
    """Tries again, after 0.2 to 4 ms, while others hold the database.

    SQLite's own busy handler sleeps up to 100 ms at a time; a writer that is unlucky starves.
    """

    def __init__(self, place: str, seconds: float = SECONDS) -> None:
        self.place, self.seconds = place, seconds

    def deadline(self) -> float:
        """Give the real time until which to try."""
        return clock.real_seconds() + self.seconds

    def retry(self, attempt: Callable[[], T]) -> T:
        """Give what `attempt` gives, as soon as nobody is in the way.

        Raises:
            StorageBusy: somebody was, all the time.
            sqlite3.Error: anything else that is wrong.
        """
        until = self.deadline()
        while True:
            try:
                return attempt()
            except sqlite3.Error as error:
                if not faults.is_busy(error):
                    raise
                self.pause(until, error)
            except DBAPIError as error:
                if error.orig is None or not faults.is_busy(error.orig):
                    raise
                self.pause(until, error)

    def pause(self, until: float, error: Exception | None = None) -> None:
        """Wait for a moment, or give up if it is later than `until`."""
        if clock.real_seconds() > until:
            raise StorageBusy(
                f"{self.place}: another program held the database for more than"
                f" {self.seconds:g} s; find it (`fuser {self.place}`) and stop it"
            ) from error
        clock.real_sleep(0.0002 + 0.0038 * clock.chance())

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise the driver's errors as ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise faults.translate(error, self.place) from error
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.Error):
                raise faults.translate(error.orig, self.place) from error
            raise
