"""A voice: lines on stderr that wait for their reader, and for whom nobody waits."""

import contextlib
import fcntl
import io
import logging
import os
import threading

import pytest

from playhead.cli import voice as voices
from playhead.cli.voice import Voice, log_lines


@pytest.fixture
def pipe():
    """Give the reading end of a pipe of 4 KiB, and a voice that says into it."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    stream = os.fdopen(writing, "w")
    yield reading, Voice(stream)
    with contextlib.suppress(OSError):
        os.close(reading)
    stream.close()


def test_what_is_left_out_is_told(pipe, monkeypatch):
    """Beyond the lines that may wait some are left out; their number stands in their place."""
    monkeypatch.setattr(voices, "MOST", 50)
    reading, voice = pipe
    for number in range(500):
        voice.say(f"{number:0>99}\n")
    said = []
    reader = threading.Thread(
        target=lambda: said.extend(iter(lambda: os.read(reading, 999), b""))
    )
    reader.start()
    voice.close()
    voice._stream.close()
    reader.join()
    lines = b"".join(said).decode().splitlines()
    numbers = [int(line) for line in lines if not line.startswith("(")]
    assert numbers == list(range(len(numbers)))
    assert 50 <= len(numbers) < 500
    assert lines[-1] == f"({500 - len(numbers)} lines are left out: nobody read them)"


def test_what_the_next_overwrites_does_not_wait(pipe):
    """While the reader is behind, passing words are left out, uncounted; else they are said."""
    reading, voice = pipe
    voice.say("passing\n", is_passing=True)
    assert os.read(reading, 99) == b"passing\n"
    for _ in range(500):
        voice.say("x" * 99 + "\n")
    for _ in range(500):
        voice.say("passing too\n", is_passing=True)
    said = []
    reader = threading.Thread(
        target=lambda: said.extend(iter(lambda: os.read(reading, 999), b""))
    )
    reader.start()
    voice.close()
    voice._stream.close()
    reader.join()
    assert b"".join(said) == (b"x" * 99 + b"\n") * 500


def test_a_voice_that_nobody_hears_ends(pipe):
    """Closing waits as long as it was told, and leaves the thread to the end of the process."""
    reading, voice = pipe
    for _ in range(500):
        voice.say("x" * 99 + "\n")
    voice.close(0.05)
    assert voice._thread.is_alive()
    voice.say("too late\n")
    os.close(reading)
    voice._thread.join(10)
    assert not voice._thread.is_alive()


def test_a_voice_without_a_descriptor_is_the_stream():
    """Into a stream of Python's the same is said, in order; nothing said starts no thread."""
    stream = io.StringIO()
    voice = Voice(stream)
    for number in range(300):
        voice.say(f"{number}\n")
    voice.close()
    assert stream.getvalue() == "".join(f"{n}\n" for n in range(300))
    silent = Voice(stream)
    silent.close()
    assert silent._thread is None


def test_warnings_are_said_where_nobody_else_hears_them(monkeypatch):
    """An app without logging of its own has its warnings said, escaped; one with it has not."""
    stream = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    voice = Voice(stream)
    with log_lines(voice):
        logging.getLogger("playhead.engine").warning("a \x1b[31m%s", "warning")
        logging.getLogger("playhead.engine").info("a remark")
    assert root.handlers == []
    theirs = logging.NullHandler()
    root.addHandler(theirs)
    with log_lines(voice):
        assert root.handlers == [theirs]
        logging.getLogger("playhead.engine").warning("theirs")
    voice.close()
    assert stream.getvalue() == "a \\x1b[31mwarning\n"
