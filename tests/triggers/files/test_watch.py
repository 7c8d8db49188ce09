"""The watch: hints at once, looks anyway, outlives what befalls the folder, leaves nothing."""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventstore import clock
from triggers.files.watch import Watch

SOON = 60.0  # seconds; a deadline, not a wait


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
    deadline = clock.real_seconds() + 2
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


def test_a_file_moved_in_is_told_from_one_half_written(tmp_path: Path) -> None:
    """From another folder, watched or not: renamed in; one that goes out is nothing."""
    root, outside = tmp_path / "in", tmp_path / "out"
    (root / "deep").mkdir(parents=True)
    outside.mkdir()
    for is_deep in (False, True):
        with watching(root, is_deep=is_deep) as ear:
            ear.drain()
            (outside / "half").write_text("x")
            (outside / "half").rename(root / "whole")
            assert until(lambda ear=ear: ear.closed.get(str(root / "whole")) == "renamed in")
            (root / "whole").rename(outside / "half")
            (root / "half").touch()
            assert until(lambda ear=ear: str(root / "half") in ear.closed)
            assert str(outside / "half") not in ear.closed
            assert "" not in ear.closed
            (root / "half").unlink()


def test_a_flood_of_hints_leaves_room_for_looks(tmp_path: Path) -> None:
    """Looks that take 50 ms are asked for every 100 ms at most, however much is told."""
    wakes: list[float] = []
    watch = Watch(
        str(tmp_path),
        is_deep=False,
        wake=lambda: wakes.append(clock.real_seconds()),
        every=lambda: 600.0,
        pause=lambda: 0.05,
    )
    watch.start()
    begun = clock.real_seconds()
    while clock.real_seconds() < begun + 1.0 or len(wakes) < 2:
        (tmp_path / "a").write_text("x")
    watch.close()
    assert len(wakes) <= 10 * (clock.real_seconds() - begun) + 2


def watches_held() -> int:
    """Give how many inotify watches this process holds."""
    held = 0
    for entry in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            held += entry.read_text().count("inotify wd:")
    return held


def test_closing_leaves_no_watch_and_no_handle(tmp_path: Path) -> None:
    """A watch for each folder while it is open, none behind it."""
    handles = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        (tmp_path / str(number)).mkdir()
    with watching(tmp_path, is_deep=True) as ear:
        assert ear.hears()
        assert until(lambda: watches_held() >= 6)
    assert watches_held() == 0
    assert len(list(Path("/proc/self/fd").iterdir())) == handles


def test_a_system_that_refuses_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No watches left: one line in the program's log, looks go on, and it is tried again."""
    tries = threading.Semaphore(0)

    def refuse() -> None:
        tries.release()
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("triggers.files.watch._new_observer", refuse)
    monkeypatch.setattr("triggers.files.watch.RETRY", 0.01)
    with watching(tmp_path, every=0.02) as ear:
        assert all(tries.acquire(timeout=SOON) for _ in range(3))
        assert all(ear.hears() for _ in range(3))
    assert [record.action for record in caplog.records] == ["watch.refused"]  # type: ignore[attr-defined]


def test_a_listener_that_raises_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An error while a hint is taken is logged, and the next hint is heard."""
    ear = Ear()

    def closed(path: str, why: str) -> None:
        ear.closed[path] = why
        raise RuntimeError("not now")

    watch = Watch(
        str(tmp_path), is_deep=False, wake=ear.woken.release, every=lambda: 600.0, closed=closed
    )
    watch.start()
    try:
        ear.drain()
        for name in "ab":
            (tmp_path / name).write_text("x")
            assert until(lambda name=name: str(tmp_path / name) in ear.closed)
            assert ear.hears()
    finally:
        watch.close()
    assert "watch.hint_failed" in {record.action for record in caplog.records}  # type: ignore[attr-defined]


def test_closing_while_it_is_about_to_watch(tmp_path: Path) -> None:
    """A close that comes while the system's watch is being set up is not slept through."""
    watch = Watch(str(tmp_path), is_deep=False, wake=lambda: None, every=lambda: 600.0)
    begun, go_on = threading.Event(), threading.Event()
    mend = watch._mend

    def slowly() -> None:
        mend()
        begun.set()
        go_on.wait(SOON)

    watch._mend = slowly  # type: ignore[method-assign]
    watch.start()
    assert begun.wait(SOON)
    closing = threading.Thread(target=watch.close)
    closing.start()
    assert until(watch._hinted.is_set)
    go_on.set()
    closing.join(SOON)
    assert not closing.is_alive()
