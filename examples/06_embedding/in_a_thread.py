"""The engine in a thread of the host: one thread holds it open, the others only talk to it.

python examples/06_embedding/in_a_thread.py
"""

import threading

import shop


class Backroom(threading.Thread):
    """The part of a larger program that holds the engine."""

    def __init__(self) -> None:
        super().__init__(name="backroom")
        self.engine = shop.make()
        self.is_open = threading.Event()
        self.to_close = threading.Event()

    def run(self) -> None:
        """Hold the engine open until the host has had enough."""
        with self.engine:
            self.is_open.set()
            self.to_close.wait()


def main() -> None:
    """Be a program with threads."""
    before = threading.active_count()
    backroom = Backroom()
    backroom.start()
    backroom.is_open.wait()
    run = backroom.engine.start(shop.orders, order="lamp", key="order-1")
    backroom.engine.signal(run, "paid", shop.Payment(9.5))
    print(run.result(timeout=10))
    print("healthy:", backroom.engine.health().ready)
    backroom.to_close.set()
    backroom.join()
    print("threads left:", threading.active_count() - before)


if __name__ == "__main__":
    main()
