"""The watch: hints at once, looks anyway, outlives what befalls the folder, leaves nothing."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eventstore import clock
from triggers.files.watch import Watch

SOON = 10.0  # seconds; a deadline, not a wait


class Ear:
    """Counts wakes, and lets a test wait for the next one."""

    def __init__(self) -> None:
        self.woken = threading.Semaphore(0)
        self.closed: dict[str, str] = {}  # what was seen closed or moved in, by path

    def hears(self, seconds: float = SOON) -> bool:
        """Wait for a wake."""
        return self.woken.acquire(timeout=seconds)

    def drain(self) -> None:
        """Forget the wakes so far."""
        while self.hears(0.3):
            pass


@contextmanager
def watching(root: Path, every: float = 600.0, *, is_deep: bool = False) -> Iterator[Ear]:
    """Watch a folder, and close the watch whatever happens."""
    ear = Ear()
    watch = Watch(
        str(root),
        is_deep=is_deep,
        wake=ear.woken.release,
        every=lambda: every,
        closed=ear.closed.__setitem__,
    )
    watch.start()
    try:
        yield ear
    finally:
        watch.close()


def until(holds: Callable[[], bool]) -> bool:
    """Wait for a condition, with a deadline."""
    deadline = clock.real_seconds() + SOON
    while not holds() and clock.real_seconds() < deadline:
        clock.real_sleep(0.01)
    return holds()


def test_a_look_is_asked_for_at_the_start(tmp_path: Path) -> None:
    """What came before the watch is found by the look that follows its start."""
    with watching(tmp_path) as ear:
        assert ear.hears()


def test_a_file_closed_or_moved_in_is_a_hint(tmp_path: Path) -> None:
    """The wake comes at once, long before the next look without a hint."""
    with watching(tmp_path) as ear:
        ear.drain()
        (tmp_path / "a.txt").write_text("x")
        assert ear.hears()
        assert until(lambda: ear.closed.get(str(tmp_path / "a.txt")) == "seen closed")
        ear.drain()
        (tmp_path / "a.txt").rename(tmp_path / "b.txt")
        assert ear.hears()
        assert until(lambda: ear.closed.get(str(tmp_path / "b.txt")) == "renamed in")


def test_a_new_folder_is_a_hint(tmp_path: Path) -> None:
    """Files may lie in it that no event will ever tell of."""
    with watching(tmp_path, is_deep=True) as ear:
        ear.drain()
        (tmp_path / "x").mkdir()
        assert ear.hears()


def test_without_any_hint_looks_go_on(tmp_path: Path) -> None:
    """Hints may be lost: the next look comes anyway."""
    with watching(tmp_path, every=0.05) as ear:
        assert all(ear.hears() for _ in range(5))


def test_a_missing_folder_may_come(tmp_path: Path) -> None:
    """Nothing ends; when the folder is there, its events are heard."""
    root = tmp_path / "later"
    with watching(root, every=0.05) as ear:
        assert ear.hears()
        root.mkdir()
        assert until(lambda: _is_heard(ear, root))


def test_a_folder_replaced_is_watched_anew(tmp_path: Path) -> None:
    """Deleted and made again, or moved away and made again: events are of the new one."""
    root = tmp_path / "in"
    root.mkdir()
    with watching(root, every=0.05) as ear:
        assert until(lambda: _is_heard(ear, root))
        shutil.rmtree(root)
        root.mkdir()
        assert until(lambda: _is_heard(ear, root))
        root.rename(tmp_path / "away")
        root.mkdir()
        assert until(lambda: _is_heard(ear, root))


def _is_heard(ear: Ear, root: Path) -> bool:
    """Tell whether a file that is written now is told of as closed."""
    name = root / f"{clock.new_id()}.txt"
    name.write_text("x")
    deadline = clock.real_seconds() + 0.5
    while str(name) not in ear.closed and clock.real_seconds() < deadline:
        clock.real_sleep(0.01)
    return str(name) in ear.closed


def test_who_is_woken_may_raise(tmp_path: Path) -> None:
    """The watch outlives an error of whoever it wakes."""
    woken = threading.Semaphore(0)

    def wake() -> None:
        woken.release()
        raise RuntimeError("not now")

    watch = Watch(str(tmp_path), is_deep=False, wake=wake, every=lambda: 0.02)
    watch.start()
    assert all(woken.acquire(timeout=SOON) for _ in range(3))
    watch.close()


def test_closing_leaves_no_thread(tmp_path: Path) -> None:
    """All threads of the watch, and of watchdog, are joined."""
    before = set(threading.enumerate())
    with watching(tmp_path) as ear:
        ear.hears()
        (tmp_path / "a").touch()
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


def test_a_watch_without_events_only_looks(tmp_path: Path) -> None:
    """`poll=` in seconds asks the system for nothing."""
    woken = threading.Semaphore(0)
    before = threading.active_count()
    watch = Watch(
        str(tmp_path), is_deep=False, wake=woken.release, every=lambda: 0.05, events=False
    )
    watch.start()
    assert all(woken.acquire(timeout=SOON) for _ in range(3))
    assert threading.active_count() == before + 1
    watch.close()
