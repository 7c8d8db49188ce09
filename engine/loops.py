"""Event loops for async steps: on the real clock, watched for deadlines and requests to stop."""

import asyncio
import contextlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.flights import Flight
from eventstore import clock

log = logging.getLogger("playhead.engine")


class EngineLoop(asyncio.SelectorEventLoop):
    """An event loop on the real monotonic clock, so that frozen time cannot hang it."""

    def time(self) -> float:
        """Give the real monotonic clock in seconds."""
        return clock.real_seconds()


class LoopThread:
    """An event loop on a thread of its own, until it is closed."""

    def __init__(self) -> None:
        self.loop = EngineLoop()
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="playhead-loop", daemon=True
        )
        self._thread.start()

    def close(self, grace: float) -> None:
        """Cancel what still runs on the loop and join the thread; `grace` in real seconds."""
        future = asyncio.run_coroutine_threadsafe(self._end(grace), self.loop)
        try:
            future.result(grace + 5)
        except TimeoutError:
            log.warning(
                "the event loop did not end in time", extra={"action": "loop_left_behind"}
            )
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(grace + 1)
        if not self._thread.is_alive():
            self.loop.close()

    async def _end(self, grace: float) -> None:
        rest = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=grace)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()


class _Exit(Exception):
    """Carries what asyncio would let end the loop itself: SystemExit, KeyboardInterrupt."""

    def __init__(self, carried: BaseException) -> None:
        self.carried = carried


async def _contained(coroutine: Any) -> Any:
    try:
        return await coroutine
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:  # noqa: BLE001 - GeneratorExit too
        raise _Exit(error) from None


async def watch(coroutine: Any, flight: Flight) -> Any:
    """Await a step, cancelling it when it is asked to stop or past its deadline."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_contained(coroutine))

    def cancel() -> None:
        loop.call_soon_threadsafe(task.cancel)

    flight.on_cancel = cancel
    if flight.is_cancelled:
        task.cancel()
    try:
        while flight.deadline is not None and not task.done():
            left = (flight.deadline - clock.now_us()) / clock.SECOND
            if left <= 0:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                raise asyncio.CancelledError
            await asyncio.wait({task}, timeout=min(left, 0.05))
        return await task
    except _Exit as exit_:
        raise exit_.carried from None
    finally:
        flight.on_cancel = None
        while flight.closing:
            await flight.closing.pop()()


async def _told(coroutine: Any) -> tuple[Any, BaseException | None]:
    """Give what a step returned, or its SystemExit: a task would throw that at the loop itself."""
    try:
        return await coroutine, None
    except (SystemExit, KeyboardInterrupt) as end:
        return None, end


def run_here(coroutine: Any, flight: Flight) -> Any:
    """Run an async step to its end before returning, on a loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(coroutine, flight)
    # This thread runs a loop already, and a thread can run only one.
    with ThreadPoolExecutor(1, "playhead-async") as aside:
        return aside.submit(_run, coroutine, flight).result()


def _run(coroutine: Any, flight: Flight) -> Any:
    with asyncio.Runner(loop_factory=EngineLoop) as runner:
        return runner.run(watch(coroutine, flight))
