"""Engines of one test: made with a word, closed when the test ends."""

from collections.abc import Iterable
from typing import Any, Self

from engine.app import Engine


class Engines:
    """Makes engines for one test, each on a log of its own in memory; closes them after it."""

    def __init__(self) -> None:
        self.made: list[Engine] = []

    def __call__(
        self,
        *,
        workflows: Iterable[Any] = (),
        triggers: Iterable[Any] = (),
        url: str = "sqlite:///:memory:",
        **options: Any,
    ) -> Engine:
        """Give a new engine.

        Args:
            workflows: as for `Engine`.
            triggers: as for `Engine`.
            url: where its log lies; in memory it is private to this engine.
            options: whatever else `Engine` takes.
        """
        engine = Engine(url, workflows=workflows, triggers=triggers, **options)
        self.made.append(engine)
        return engine

    def __enter__(self) -> Self:
        """Begin a test."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()

    def close(self) -> None:
        """Close every engine that was made; may be called again."""
        while self.made:
            self.made.pop().close()
