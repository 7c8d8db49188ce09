"""Lines for people on stderr, from a thread of their own: who works never waits for who reads.

A pipe is full after 64 KiB that nobody has read, and a terminal stands still at Ctrl-S. Then lines
wait here, and past `MOST` of them are left out and counted. The thread writes to the descriptor
and not to `sys.stderr`, so that it holds no lock when the process ends.
"""

import contextlib
import io
import logging
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import TextIO

from playhead.cli import out

MOST = 10_000  # lines that wait for a reader; some MB
AT_ONCE = 100  # lines in one write
SETTLES = 1.0  # real seconds that stdout and stderr get to take what is still on its way


class Voice:
    """Says text on stderr in order, as fast as it is read."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._descriptor = _descriptor_of(self._stream)
        self._texts: deque[str] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._missed = 0
        self._is_speaking = False
        self._is_over = False  # closed, or the reader has gone

    def say(self, text: str, *, is_passing: bool = False) -> None:
        """Have text said; returns at once.

        Args:
            text: brings its line ends.
            is_passing: the next text overwrites it; while others wait it is not worth a word.
        """
        with self._change:
            if self._is_over or (is_passing and self._texts):
                return
            if len(self._texts) >= MOST:
                self._missed += 1
                return
            self._own_up()
            self._texts.append(text)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._speak, name="playhead-voice", daemon=True
                )
                self._thread.start()
            self._change.notify_all()

    def _own_up(self) -> None:
        if self._missed:
            self._texts.append(f"({self._missed} lines are left out: nobody read them)\n")
            self._missed = 0

    def _speak(self) -> None:
        while True:
            with self._change:
                self._is_speaking = False
                self._change.notify_all()
                while not self._texts:
                    if self._is_over:
                        return
                    self._change.wait()
                self._is_speaking = True
                count = min(len(self._texts), AT_ONCE)
                text = "".join(self._texts.popleft() for _ in range(count))
            if not self._write(text):
                with self._change:  # the reader has gone: nobody is to be told
                    self._is_over = True
                    self._texts.clear()

    def _write(self, text: str) -> bool:
        """Write all of it, however long that takes; False: it cannot be written."""
        try:
            if self._descriptor is None:
                self._stream.write(text)
                self._stream.flush()
                return True
            left = text.encode(self._stream.encoding or "utf-8", "backslashreplace")
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:  # another program made the terminal so
                    select.select([], [self._descriptor], [])
        except (OSError, ValueError):
            return False
        return True

    def close(self, patience: float | None = None) -> None:
        """Say what is still to be said, and nothing more.

        Args:
            patience: real seconds to wait for a reader; None: as long as it takes.
        """
        with self._change:
            self._own_up()
            if self._thread is None:
                self._is_over = True
                return
            self._change.notify_all()
            is_said = self._change.wait_for(
                lambda: not self._texts and not self._is_speaking, patience
            )
            self._is_over = True
            self._texts.clear()
            self._change.notify_all()
        if is_said:
            self._thread.join()


def _descriptor_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, io.UnsupportedOperation, AttributeError):
        return None


class _Handler(logging.Handler):
    def __init__(self, voice: Voice) -> None:
        super().__init__(logging.WARNING)
        self._voice = voice

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record said as it would be by a program that has configured no logging."""
        self._voice.say(out.lines(self.format(record)) + "\n")


@contextlib.contextmanager
def log_lines(voice: Voice) -> Iterator[None]:
    """Have warnings said by a voice, in an app that has configured no logging of its own."""
    root = logging.getLogger()
    if root.handlers:
        yield
        return
    handler = _Handler(voice)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def is_settled(patience: float = SETTLES) -> bool:
    """Flush stdout and stderr; False: somebody holds them who waits for a reader.

    Python flushes both when it ends, and would wait for ever, or abort.
    """

    def flush() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()

    flusher = threading.Thread(target=flush, name="playhead-flush", daemon=True)
    flusher.start()
    flusher.join(patience)
    return not flusher.is_alive()
