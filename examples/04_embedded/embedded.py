"""The engine inside programs of your own: in the caller's thread, behind threads, beside a loop.

python examples/04_embedded/embedded.py

No server, no thread left behind: the number of threads is printed before and after.
"""

import asyncio
import threading

from playhead import Engine, Signal, Workflow, step


@step
async def price(item: str) -> float:
    """Ask somebody who takes a while; a coroutine, so it holds no thread."""
    await asyncio.sleep(0.05)
    return 2.5 * len(item)


@step
def invoice(price: float, paid: float) -> str:
    """Wait for the payment: `paid` is the signal below."""
    return "settled" if paid >= price else f"{price - paid:.2f} to pay"


orders = Workflow("orders", steps=[price, Signal("paid", float), invoice])


def behind_threads(engine: Engine) -> None:
    """Start and signal from any thread while workers run in the background."""
    with engine:
        run = engine.start(orders, item="lamp", key="order-1")
        threading.Thread(target=engine.signal, args=(run, "paid", 10.0)).start()
        print("behind threads:    ", run.result(timeout=10))


async def beside_a_loop(engine: Engine) -> None:
    """Await many runs; the loop is never blocked."""
    async with engine:
        runs = [engine.start(orders, item="x" * n) for n in range(1, 6)]
        for run in runs:
            engine.signal(run, "paid", 7.5)
        print("beside a loop:     ", await asyncio.gather(*runs))


def main() -> None:
    """Show three ways to hold an engine."""
    print("threads before:    ", threading.active_count())
    engine = Engine("sqlite:///:memory:", workflows=[orders])
    run = engine.start(orders, item="desk")
    engine.signal(run, "paid", 4)
    engine.run_until_idle()
    print("in this thread:    ", run.result(timeout=0))
    behind_threads(engine)
    asyncio.run(beside_a_loop(engine))
    again = engine.start(orders, item="lamp", key="order-1")
    print("the same key:      ", again.status, "already;", len(engine.runs()), "runs in all")
    print("threads after:     ", threading.active_count())


if __name__ == "__main__":
    main()
