"""How long a server that went away is waited for."""

from collections.abc import Callable
from typing import TypeVar

from eventstore import clock
from eventstore.errors import StorageBusy, StorageReadOnly, StorageUnreachable

T = TypeVar("T")

PATIENCE = 10.0  # seconds
_TRIED = "; tried again and again for"
# What a server is on its way back with: nobody at home, no connection left, still a standby.
_PASSING = (StorageUnreachable, StorageBusy, StorageReadOnly)


def patiently(attempt: Callable[[], T], seconds: float) -> T:
    """Give what an attempt gives; made again for so long while the server is away.

    Raises:
        StorageError: the last attempt's, which says how long was waited in all.
    """
    begun = clock.real_seconds()
    while True:
        try:
            return attempt()
        except _PASSING as error:
            waited = clock.real_seconds() - begun
            if waited > seconds:
                if not seconds or _TRIED in str(error):
                    raise
                raise type(error)(f"{error}{_TRIED} {waited:.1f} s") from error.__cause__
            clock.real_sleep(0.05 + 0.1 * clock.chance())
