"""HTTP clients handed to steps: every call carries a key by which a repeated call is known."""

import functools
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

HEADER = "Idempotency-Key"


def call_numbers() -> Iterator[int]:
    """Give the numbers of an attempt's calls: 1, 2, 3 …; its clients share one iterator."""
    return itertools.count(1)


def sync_client(key: str, calls: Iterator[int] | None = None) -> "httpx.Client":
    """Make an `httpx.Client` for one attempt of a step; to be closed when the attempt ends.

    Args:
        key: The step's idempotency key: sent as it is by the first call, as `key#n` by the nth.
            A key that the caller has set stays.
        calls: The numbers of the attempt's calls, if it has another client too.
    """
    client: httpx.Client = _classes()[0](key, calls or call_numbers())
    return client


def async_client(key: str, calls: Iterator[int] | None = None) -> "httpx.AsyncClient":
    """Make an `httpx.AsyncClient` for one attempt of a step; see `sync_client`."""
    client: httpx.AsyncClient = _classes()[1](key, calls or call_numbers())
    return client


def _mark(request: "httpx.Request", key: str, calls: Iterator[int]) -> None:
    """Set the key of the next call; a redirect or a second try at signing in keeps its own."""
    number = next(calls)
    if HEADER not in request.headers:
        request.headers[HEADER] = key if number == 1 else f"{key}#{number}"


@functools.cache
def _classes() -> tuple[type[Any], type[Any]]:
    """Make the two classes when the first client is wanted: httpx is slow to import."""
    import httpx  # noqa: PLC0415 - see above

    class KeyedClient(httpx.Client):
        def __init__(self, key: str, calls: Iterator[int]) -> None:
            super().__init__()
            self._key, self._calls = key, calls

        def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
            _mark(request, self._key, self._calls)
            return super().send(request, **options)

    class KeyedAsyncClient(httpx.AsyncClient):
        def __init__(self, key: str, calls: Iterator[int]) -> None:
            super().__init__()
            self._key, self._calls = key, calls

        async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
            _mark(request, self._key, self._calls)
            return await super().send(request, **options)

    return KeyedClient, KeyedAsyncClient
