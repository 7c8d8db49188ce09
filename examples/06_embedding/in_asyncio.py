"""The engine beside an event loop: it opens and closes without blocking, and runs are awaited.

python examples/06_embedding/in_asyncio.py            # ends by itself
python examples/06_embedding/in_asyncio.py stay       # ends on SIGTERM or Ctrl-C
"""

import asyncio
import signal
import sys
import threading

import shop


async def serve_one(engine: shop.Engine, order: str, price: float) -> str:
    """Start a run, tell it something, await its result; the loop is never blocked for long."""
    run = engine.start(shop.orders, order=order)
    engine.signal(run, "paid", shop.Payment(price))
    result: str = await run
    return result


async def main(*, stays: bool) -> None:
    """Be a program with an event loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)  # the host's signals are the host's affair
    async with shop.make() as engine:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(serve_one(engine, order, price))
                for order, price in (("lamp", 9.5), ("desk", 120.0))
            ]
        for task in tasks:
            print(task.result())
        if stays:
            print("open", flush=True)
            await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(stays="stay" in sys.argv[1:]))
    print("threads left:", threading.active_count() - 1)
