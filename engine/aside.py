"""Call what blocks beside a running event loop, in a thread that is gone when it has returned."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


async def aside(call: Callable[[], object], *, hurry: Callable[[], None] | None = None) -> None:
    """Call in a thread of its own, and await its end without blocking the loop.

    Who is cancelled meanwhile still waits for the end, because a thread cannot be left half way;
    `hurry` is called to bring it about sooner.

    Raises:
        CancelledError: cancelled while it was called; the call has ended well.
    """
    cancelled: asyncio.CancelledError | None = None
    with ThreadPoolExecutor(1, "playhead-aside") as thread:
        called = asyncio.get_running_loop().run_in_executor(thread, call)
        while not called.done():
            try:
                await asyncio.wait({called})
            except asyncio.CancelledError as error:
                cancelled = error
                if hurry is not None:
                    hurry()
    called.result()
    if cancelled is not None:
        raise cancelled
