"""A process that is cut off between two commits, without a process."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from engine.app import Engine
from engine.errors import PlayheadError

WRITES = (
    "append", "claim", "release", "wake", "enter", "renew", "leave", "bury", "put_blob",
    "put_snapshot", "drop_derived", "purge", "drop_blobs", "reclaim",
)  # fmt: skip


_GONE: WeakSet[Engine] = WeakSet()


def is_cut_off(engine: Engine) -> bool:
    """Tell whether `crash_after` has cut this engine off: it does nothing ever again."""
    return engine in _GONE


class Crashed(BaseException):
    """The process ends here; nothing but `crash_after` is meant to catch it."""


def crash_after(n: int, engine: Engine, *, performed: bool = False) -> "Cut":
    """Give a block that cuts the process off after `n` commits, with `.crashed` to ask.

    What the engine committed stands, and it never writes again. Another engine on the same file
    finds a dead worker, as it would after `kill -9`.

    Args:
        n: how many appends are committed, counted from here.
        engine: on a file, working in the caller's thread (`run_until_idle`, `run`).
        performed: False: it dies as the nth commit is done, before anything is made of it. True:
            it dies instead of the next commit: steps that the nth one started have run, and
            nobody will ever know.
    """
    if n < 0 or (n == 0 and not performed):
        raise ValueError(f"n={n}: it is cut after 1 commit or more (with performed=True, 0)")
    if engine.is_private:
        raise PlayheadError(
            "a log in memory dies with its process; give the engine a file, as in"
            " Engine(f'sqlite:///{tmp_path}/log.db')"
        )
    if engine.is_open:
        raise PlayheadError("crash_after cuts an engine that works in the caller's thread")
    return Cut(n, engine, performed=performed)


class Cut:
    """The block in which the process is cut off; `crashed` tells afterwards whether it was."""

    def __init__(self, n: int, engine: Engine, *, performed: bool) -> None:
        self.crashed = False
        self._left = n
        self._engine = engine
        self._performed = performed
        self._wrapped: list[str] = []

    def __enter__(self) -> Self:
        """Begin to count."""
        log = self._engine.log
        for name in WRITES:
            setattr(log, name, self._guarded(name, getattr(log, name)))
            self._wrapped.append(name)
        return self

    def _guarded(self, name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.crashed and name in ("renew", "leave"):
                return None  # what a living process does on its way out is not done
            if self.crashed or (name == "append" and self._performed and not self._left):
                self.crashed = True
                raise Crashed("this process was cut off")
            answer = write(*args, **kwargs)
            if name == "append":
                self._left -= 1
                if not self._left and not self._performed:
                    self.crashed = True
                    raise Crashed("this process was cut off")
            return answer

        return guarded

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Let the process be gone: its locks are free, what it raised is forgotten."""
        if not self.crashed:
            for name in self._wrapped:
                delattr(self._engine.log, name)
            return False
        self._engine.log.close()
        _GONE.add(self._engine)
        return isinstance(error, Crashed)
