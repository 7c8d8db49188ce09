"""What is no plain file: links, pipes, sockets. Only regular files start runs, nothing hangs."""

import os
import socket

from tests.journeys.files.stage import engine_of, fired, looked, names, paths, texts


def test_a_hard_link_is_a_file(url, inbox, outside):
    """A hard link dropped into the folder starts one run: it is the file."""
    (outside / "a.txt").write_text("one body")
    os.link(outside / "a.txt", inbox / "b.txt")
    engine = engine_of(url, inbox)
    engine.run_until_idle()
    assert texts(engine) == ["one body"]
    assert names(engine) == ["b.txt"]
    os.link(outside / "a.txt", inbox / "c.txt")
    engine.run_until_idle()
    assert names(engine) == ["b.txt", "c.txt"], "each name of the body counts once"


def test_a_hard_link_is_noticed_while_watching(url, inbox, outside, until):
    """No system tells of a link as closed; the look finds it."""
    (outside / "a.txt").write_text("one body")
    with engine_of(url, inbox, complete="close", settle=0.1) as engine:
        os.link(outside / "a.txt", inbox / "b.txt")
        until(lambda: engine.runs(status="succeeded"))
    assert texts(engine) == ["one body"]


def test_a_symlink_starts_nothing(url, inbox, outside):
    """A link to a file starts nothing, be it in the folder, out of it, dangling or a loop."""
    (inbox / "real.txt").write_text("real")
    (outside / "secret.txt").write_text("secret")
    (inbox / "in.txt").symlink_to(inbox / "real.txt")
    (inbox / "relative.txt").symlink_to("real.txt")
    (inbox / "out.txt").symlink_to(outside / "secret.txt")
    (inbox / "dangling.txt").symlink_to(inbox / "nobody")
    (inbox / "loop.txt").symlink_to(inbox / "loop.txt")
    (inbox / "proc.txt").symlink_to("/proc/self/environ")
    engine = engine_of(url, inbox)
    engine.run_until_idle()
    assert texts(engine) == ["real"]


def test_a_linked_folder_is_not_entered(url, inbox, outside):
    """A link to a folder leads nowhere: out of the root, to itself, to its parent."""
    (outside / "secret.txt").write_text("secret")
    (inbox / "deep").mkdir()
    (inbox / "deep" / "a.txt").write_text("a")
    (inbox / "out").symlink_to(outside)
    (inbox / "deep" / "up").symlink_to(inbox)
    (inbox / "self").symlink_to(inbox / "self")
    engine = engine_of(url, inbox, "**/*.txt")
    engine.run_until_idle()
    assert texts(engine) == ["a"]


def test_a_symlink_swapped_in_before_it_settles_starts_nothing(url, inbox, outside, frozen):
    """A file that was seen, and is a link to a secret by the time it would start, does not."""
    (outside / "secret.txt").write_text("secret")
    engine = engine_of(url, inbox, settle=1)
    (inbox / "a.txt").write_text("secret")
    stamp = (outside / "secret.txt").stat().st_mtime_ns
    os.utime(inbox / "a.txt", ns=(stamp, stamp))
    engine.run_until_idle()
    (inbox / "a.txt").unlink()
    (inbox / "a.txt").symlink_to(outside / "secret.txt")
    looked(engine, frozen)
    assert engine.runs() == []


def test_a_symlink_swapped_in_for_a_closed_file(url, inbox, outside, until):
    """While watching too: closed, then at once a link; either the file ran or nothing."""
    (outside / "secret.txt").write_text("secret")
    with engine_of(url, inbox, complete="close", settle=0.2) as engine:
        for number in range(20):
            path = inbox / f"{number}.txt"
            path.write_text("plain")
            path.unlink()
            path.symlink_to(outside / "secret.txt")
        (inbox / "last.txt").write_text("last")
        until(lambda: "last.txt" in names(engine, status="succeeded"))
        until(lambda: not engine.runs(status=["running", "waiting"]))
        links = {name for name in names(engine) if name != "last.txt"}
    assert len(fired(engine)) == len(set(fired(engine))) == len(links) + 1


def test_a_folder_swapped_for_a_link_shows_nothing_more(url, inbox, outside):
    """A folder below the root that becomes a link out of it is left alone from then on."""
    (inbox / "deep").mkdir()
    (inbox / "deep" / "a.txt").write_text("a")
    engine = engine_of(url, inbox, "**/*.txt")
    engine.run_until_idle()
    (inbox / "deep").rename(inbox.parent / "away")
    (outside / "secret.txt").write_text("secret")
    (inbox / "deep").symlink_to(outside)
    engine.run_until_idle()
    assert texts(engine) == ["a"]


def test_the_root_may_be_a_link_and_may_be_turned(file_url, inbox, outside, until):
    """The folder that the user names may be a link; turned elsewhere, it is watched there."""
    named = inbox.parent / "named"
    named.symlink_to(inbox)
    with engine_of(file_url, named, settle=0.1) as engine:
        (inbox / "a.txt").write_text("a")
        until(lambda: names(engine, status="succeeded") == ["a.txt"])
        fresh = inbox.parent / "fresh"
        fresh.symlink_to(outside)
        fresh.rename(named)
        (outside / "b.txt").write_text("b")
        until(lambda: names(engine, status="succeeded") == ["a.txt", "b.txt"])
    assert paths(engine) == [str(named / "a.txt"), str(named / "b.txt")]


def test_a_pipe_and_a_socket_hold_nobody_up(url, inbox, until, monkeypatch):
    """A FIFO without a writer, a socket and a folder so named start nothing and never hang."""
    monkeypatch.chdir(inbox)  # a socket's path is short
    os.mkfifo("pipe.txt")
    (inbox / "folder.txt").mkdir()
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind("ear.txt")
        engine = engine_of(url, inbox)
        engine.run_until_idle()
        assert engine.runs() == []
        with engine:
            os.mkfifo("another.txt")
            (inbox / "a.txt").write_text("a")
            until(lambda: engine.runs(status="succeeded"))
    assert texts(engine) == ["a"]


def test_a_pipe_swapped_in_for_a_file_starts_nothing(url, inbox, frozen):
    """A file that has become a FIFO before it settled is not opened."""
    engine = engine_of(url, inbox, settle=1)
    (inbox / "a.txt").touch()
    engine.run_until_idle()
    (inbox / "a.txt").unlink()
    os.mkfifo(inbox / "a.txt")
    looked(engine, frozen)
    assert engine.runs() == []
