"""The daemon as it is run: health over HTTP, draining, taken ports, systemd, and many of them."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.app import Engine
from eventstore import clock
from tests.playhead.served import Served, Systemd, wait_until
from tests.triggers.webhook.signing import SECRETS, signed

APP = '''
import os, threading
from pathlib import Path

from engine import health, serving
from playhead import Engine, FileTrigger, IntervalTrigger, Workflow, step

HERE = Path(__file__).parent
health.PATIENCE = float(os.environ.get("PATIENCE", "30"))
serving.LAST = float(os.environ.get("LAST", "20"))


@step
def work() -> str:
    (HERE / "working").touch()
    while (HERE / "hang").exists():
        threading.Event().wait(0.02)
    return "done"


class Moody:
    """A trigger whose look hangs, and whose closing waits for it, when files say so."""

    kind, name, workflow, hears = "moody", "moody", "works", None

    def check(self, workflows):
        pass

    def revision(self):
        return "1"

    def poll(self, door, now):
        while (HERE / "stuck").exists():
            threading.Event().wait(0.02)

    def ended(self, door, now):
        pass

    def open(self, door):
        pass

    def close(self):
        if (HERE / "closing-too").exists():
            self.poll(None, 0)


works = Workflow("works", steps=[work])
engine = Engine("sqlite:///log.db", workflows=[works], triggers=[Moody()], lease=0.1,
                grace=float(os.environ.get("GRACE", "20")))
'''
HTTP = ("--http", "127.0.0.1:0")

Serve = Callable[..., Served]


@pytest.fixture
def folder(folder: Path) -> Path:
    """Give a folder with this app in it."""
    (folder / "app.py").write_text(APP, "utf-8")
    return folder


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Serve the app in a process of its own; all are ended at the end."""
    begun: list[Served] = []

    def start(*words: str, **surroundings: str) -> Served:
        begun.append(Served(folder, "app.py", *words, **surroundings))
        return begun[-1]

    yield start
    for one in begun:
        one.end()


@pytest.fixture
def desk(folder: Path) -> Engine:
    """Give an engine that only looks."""
    return Engine(f"sqlite:///{folder / 'log.db'}")


def begin_work(folder: Path) -> None:
    """Let a step begin that does not end before `hang` is gone."""
    (folder / "hang").touch()
    words = [sys.executable, "-m", "playhead", "start", "app.py:works"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    wait_until((folder / "working").exists)


def test_health_is_answered_and_a_drain_is_told(
    serve: Serve, folder: Path, desk: Engine
) -> None:
    """/livez and /readyz are 200; while it drains it is alive, not ready; then exit code 0."""
    daemon = serve(*HTTP).ready()
    live, ready = daemon.get("/livez"), daemon.get("/readyz")
    assert (live.status_code, live.text) == (200, "alive\n")
    assert (ready.status_code, ready.text) == (200, "ready\n")
    assert ready.headers["cache-control"] == "no-store"
    assert daemon.get("/else").status_code == 404
    begin_work(folder)
    daemon.tell(signal.SIGTERM)
    wait_until(lambda: daemon.get("/readyz").status_code == 503)
    wait_until(lambda: "it drains" in daemon.get("/readyz").text)
    assert daemon.get("/livez").status_code == 200
    assert daemon.process.poll() is None
    (folder / "hang").unlink()
    assert daemon.finish() == 0
    assert "drained; what was not done stays in the log" in daemon.said
    (row,) = desk.runs()
    assert row.status == "succeeded"


def test_a_second_signal_stops_at_once(serve: Serve, folder: Path, desk: Engine) -> None:
    """The step in flight is not waited for, the door neither: exit code 130."""
    daemon = serve(*HTTP).ready()
    begin_work(folder)
    daemon.tell(signal.SIGTERM)
    wait_until(lambda: daemon.get("/readyz").status_code == 503)
    since = clock.real_seconds()
    daemon.tell(signal.SIGTERM)
    assert daemon.finish() == 130
    assert clock.real_seconds() - since < 19, "of the 20 s that a drain may take"
    assert "stopped at once" in daemon.said
    (row,) = desk.runs()
    assert row.status == "running"


def test_two_signals_in_one_moment_stop_at_once(serve: Serve, folder: Path) -> None:
    """A second signal counts also if it comes before the drain has begun."""
    daemon = serve().ready()
    begin_work(folder)
    daemon.tell(signal.SIGTERM)
    daemon.tell(signal.SIGINT)
    assert daemon.finish() == 130


@pytest.mark.slow
@pytest.mark.parametrize("how", ["in-its-look", "closing-too"])
def test_a_trigger_that_hangs_is_stopped_by_a_second_signal(
    serve: Serve, folder: Path, how: str
) -> None:
    """Also a daemon whose trigger never returns can be stopped by signals alone."""
    daemon = serve(*HTTP, PATIENCE="0.5").ready()
    (folder / how).touch()
    (folder / "stuck").touch()
    wait_until(lambda: daemon.get("/livez").status_code == 503)
    daemon.tell(signal.SIGTERM)
    daemon.tell(signal.SIGINT)
    assert daemon.finish() == 130


@pytest.mark.slow
def test_a_trigger_that_hangs_holds_nobody_for_ever(serve: Serve, folder: Path) -> None:
    """One signal is enough: a while after `grace` the process ends, and says why."""
    daemon = serve(GRACE="0.5", LAST="1").ready()
    (folder / "closing-too").touch()
    (folder / "stuck").touch()
    daemon.tell(signal.SIGTERM)
    assert daemon.finish() == 130
    assert daemon.said.endswith(
        "playhead: something hangs and is not waited for; the next worker does it again"
    )


@pytest.mark.slow
def test_a_worker_that_hangs_is_told_over_http(serve: Serve, folder: Path) -> None:
    """/livez is 503 with the reason while a look hangs, and 200 when it has returned."""
    daemon = serve(*HTTP, PATIENCE="3").ready()
    (folder / "stuck").touch()
    wait_until(lambda: daemon.get("/livez").status_code == 503)
    assert daemon.get("/livez").text.startswith("it hangs: looking for work took")
    assert daemon.get("/readyz").status_code == 503
    (folder / "stuck").unlink()
    wait_until(lambda: daemon.get("/readyz").status_code == 200)


def test_a_port_that_is_taken(serve: Serve, folder: Path) -> None:
    """Exit code 2 with a sentence; nothing was started, not even a database."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = serve("--http", f"127.0.0.1:{port}")
        assert daemon.finish() == 2
    assert daemon.said == (
        f"playhead: nothing can listen at 127.0.0.1:{port}: Address already in use;"
        " give another port (0: any that is free), or stop who listens there"
    )
    assert not (folder / "log.db").exists()


@pytest.mark.parametrize(
    "address", ["here", "127.0.0.1", "127.0.0.1:99999", "[::1]:", "a..b:80"]
)
def test_an_address_that_is_none(cli: Any, address: str) -> None:
    """Exit code 2, and what to write instead."""
    done = cli("serve", "app.py", "--http", address)
    assert done.exit_code == 2
    assert f"{address!r} is no address to listen at; write HOST:PORT" in done.stderr


def test_a_missing_extra_is_named(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages of the extra: exit code 2, and the command that installs it."""
    for name in ("playhead.web.server", "playhead.web.door"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = cli("serve", "app.py", "--http", "127.0.0.1:0")
    assert done.exit_code == 2
    assert "pip install 'playhead[web]'" in done.stderr


def test_the_environment_may_name_the_address(serve: Serve) -> None:
    """PLAYHEAD_HTTP stands for --http; without a host it is loopback."""
    daemon = serve(PLAYHEAD_HTTP=":0").ready()
    assert daemon.url.startswith("http://127.0.0.1:")
    assert daemon.get("/livez").status_code == 200


# --- webhooks ------------------------------------------------------------------------------

HOOKS = """
from playhead import Engine, WebhookTrigger, Workflow, step


@step
def read(body: dict) -> str:
    return body["text"]


letters = Workflow("letters", steps=[read])
hook = WebhookTrigger({path!r}, letters, secrets=[{secret!r}], name="letters")
engine = Engine("sqlite:///log.db", workflows=[letters], triggers=[hook], grace=20)
"""
BODY = b'{"text": "hello"}'


def hooked(folder: Path, path: str = "/hook") -> None:
    """Let the app have a webhook."""
    text = HOOKS.format(path=path, secret=SECRETS["standard"])
    (folder / "app.py").write_text(text, "utf-8")


def signature(name: str = "msg_1") -> dict[str, str]:
    """Give the headers that sign the body now."""
    return signed("standard", BODY, clock.now_us() // clock.SECOND, msg=name)


def deliver(daemon: Served, name: str) -> httpx.Response:
    """Deliver the body."""
    return httpx.post(
        f"{daemon.url}/hook", content=BODY, headers=signature(name), trust_env=False
    )


def test_a_delivery_is_a_run(serve: Serve, folder: Path, desk: Engine) -> None:
    """The daemon takes it in and does the work; a copy is the same run, also at another daemon."""
    hooked(folder)
    one, two = serve(*HTTP).ready(), serve(*HTTP).ready()
    answers = [deliver(one, "msg_1"), deliver(two, "msg_1"), deliver(one, "msg_1")]
    assert [answer.status_code for answer in answers] == [202, 200, 200]
    wait_until(lambda: desk.runs(status="succeeded"))
    (row,) = desk.runs()
    assert {answer.json()["run"] for answer in answers} == {row.id}


def test_a_delivery_that_is_inside_is_answered(
    serve: Serve, folder: Path, desk: Engine
) -> None:
    """After SIGTERM it is taken in and answered; a new one is to come again; exit code 0."""
    hooked(folder)
    daemon = serve(*HTTP).ready()
    host, _, port = daemon.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as sender:
        head = {"Host": "x", "Content-Length": str(len(BODY)), "Expect": "100-continue"}
        lines = [f"{name}: {value}" for name, value in {**head, **signature()}.items()]
        sender.sendall("\r\n".join(["POST /hook HTTP/1.1", *lines, "", ""]).encode())
        assert sender.recv(4096).startswith(b"HTTP/1.1 100 "), "now it is inside"
        daemon.tell(signal.SIGTERM)
        wait_until(lambda: daemon.get("/readyz").status_code == 503)
        late = deliver(daemon, "msg_2")
        assert (late.status_code, late.headers["retry-after"]) == (503, "5")
        sender.sendall(BODY)
        answer = b""
        while not answer.endswith(b"}"):
            answer += sender.recv(4096)
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert daemon.finish() == 0
    (row,) = desk.runs()
    assert row.id in answer.decode()


@pytest.mark.slow
def test_a_sender_that_never_ends_holds_no_daemon(serve: Serve, folder: Path) -> None:
    """A delivery whose body does not come is waited for 5 seconds, and is to come again."""
    hooked(folder)
    daemon = serve(*HTTP).ready()
    host, _, port = daemon.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as sender:
        sender.sendall(
            b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert sender.recv(4096).startswith(b"HTTP/1.1 100 ")
        daemon.tell(signal.SIGTERM)
        answer = sender.recv(4096)
        assert daemon.finish() == 0
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in answer.lower()
    assert "Traceback" not in daemon.said


def test_a_webhook_takes_no_path_of_the_daemon(serve: Serve, folder: Path) -> None:
    """Where health is told nothing can be delivered: exit code 2, nothing is started."""
    hooked(folder, "/readyz")
    daemon = serve(*HTTP)
    assert daemon.finish() == 2
    assert daemon.said == (
        "playhead: /readyz is where the daemon tells its health; give that webhook another path"
    )
    assert not (folder / "log.db").exists()


def test_webhooks_without_a_door_are_told(serve: Serve, folder: Path) -> None:
    """A daemon that cannot receive a trigger's deliveries says so, and works."""
    hooked(folder)
    daemon = serve().ready()
    assert daemon.lines[0] == (
        "letters: deliveries are not received by this process; give --http HOST:PORT"
    )


# --- systemd -------------------------------------------------------------------------------


@pytest.fixture
def systemd() -> Iterator[tuple[Systemd, dict[str, str]]]:
    """Listen as systemd does, with a watchdog of 0.6 s; give that and the environment."""
    with tempfile.TemporaryDirectory() as base:
        path = str(Path(base) / "notify")
        made = Systemd(path)
        yield made, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "600000"}
        made.close()


def test_systemd_hears_a_whole_life(
    serve: Serve, folder: Path, systemd: tuple[Systemd, dict[str, str]]
) -> None:
    """Ready when the door answers, alive while it works, stopping as soon as a signal came."""
    hears, surroundings = systemd
    daemon = serve(*HTTP, **surroundings)
    ready, status = hears.hears()
    assert ready == "READY=1"
    wait_until(lambda: "answers: " in daemon.said)
    assert status == f"STATUS=ready: 1 workflow, 1 trigger, {daemon.url}"
    assert daemon.get("/readyz").status_code == 200
    assert [hears.hears() for _ in range(3)] == [["WATCHDOG=1"]] * 3
    begin_work(folder)
    daemon.tell(signal.SIGTERM)
    while (words := hears.hears()) == ["WATCHDOG=1"]:
        pass
    assert words == [
        "STOPPING=1", "STATUS=draining, for 20 s at most", "EXTEND_TIMEOUT_USEC=45000000",
    ]  # fmt: skip
    wait_until(lambda: hears.hears() == ["WATCHDOG=1"])
    (folder / "hang").unlink()
    assert daemon.finish() == 0


@pytest.mark.slow
def test_a_stopped_process_gives_no_sign_of_life(
    serve: Serve, systemd: tuple[Systemd, dict[str, str]]
) -> None:
    """SIGSTOP silences the watchdog; continued, it is heard again."""
    hears, surroundings = systemd
    daemon = serve(**surroundings)
    assert hears.hears()[0] == "READY=1"
    assert hears.hears() == ["WATCHDOG=1"]
    daemon.tell(signal.SIGSTOP)
    wait_until(hears.hears_nothing)
    assert hears.hears_nothing()
    assert hears.hears_nothing()
    daemon.tell(signal.SIGCONT)
    wait_until(lambda: hears.hears() == ["WATCHDOG=1"])


@pytest.mark.slow
def test_a_worker_that_hangs_gives_no_sign_of_life(
    serve: Serve, folder: Path, systemd: tuple[Systemd, dict[str, str]]
) -> None:
    """The process lives and its look hangs: its status says so, and the watchdog bites."""
    hears, surroundings = systemd
    serve(PATIENCE="3", **surroundings)
    assert hears.hears()[0] == "READY=1"
    (folder / "stuck").touch()
    while (words := hears.hears()) == ["WATCHDOG=1"]:
        pass
    assert words[0].startswith("STATUS=it hangs: looking for work took")
    for _ in range(3):  # one a second, as the seconds in it go up
        assert hears.hears()[0].startswith("STATUS=it hangs")
    (folder / "stuck").unlink()
    wait_until(lambda: hears.hears() == ["WATCHDOG=1"])


# --- several of them -----------------------------------------------------------------------

SHARED = """
import json, os
from pathlib import Path

from playhead import Context, Engine, FileTrigger, IntervalTrigger, Workflow, step

HERE = Path(__file__).parent


def note(name, what):
    with open(HERE / "notes.txt", "a") as file:
        file.write(json.dumps([name, str(what), os.getpid()]) + "\\n")


@step
def tell(slot: str) -> str:
    note("slot", slot)
    return slot


@step
def read(path: str) -> str:
    note("file", path)
    return path


ticks = Workflow("ticks", steps=[tell])
files = Workflow("files", steps=[read])
engine = Engine(
    f"sqlite:///{HERE / 'log.db'}",
    workflows=[ticks, files],
    triggers=[
        IntervalTrigger(0.5, ticks, name="beat"),
        FileTrigger(f"{HERE}/inbox/*.txt", files, settle=0.1, name="inbox"),
    ],
)
"""


def keys_fired(desk: Engine, trigger: str) -> list[str]:
    """Give the keys of all that a trigger fired."""
    events = desk.log.read(f"trigger:{trigger}")
    return [json.loads(e.data)["key"] for e in events if e.type == "trigger.fired"]


@pytest.mark.slow
def test_several_daemons_fire_each_slot_and_file_once(
    serve: Serve, folder: Path, desk: Engine
) -> None:
    """Three daemons on one database, one of them killed: each slot and each file is one run."""
    (folder / "app.py").write_text(SHARED, "utf-8")
    inbox = folder / "inbox"
    inbox.mkdir()
    daemons = [serve("-q").ready() for _ in range(3)]

    def drop(begin: int, end: int) -> None:
        for number in range(begin, end):
            (inbox / f"{number}.txt").write_text(f"file {number}")

    def done(workflow: str) -> int:
        return len(desk.runs(workflow, status="succeeded", limit=None))

    drop(0, 60)
    wait_until(lambda: done("ticks") >= 3 and done("files") >= 20, "the first half")
    dropping = threading.Thread(target=drop, args=(60, 120))
    dropping.start()
    daemons[0].tell(signal.SIGKILL)
    assert daemons[0].finish() == -signal.SIGKILL
    dropping.join()
    before = done("ticks")
    wait_until(lambda: done("files") == 120 and done("ticks") >= before + 4, "the second half")
    for one in daemons[1:]:
        one.tell(signal.SIGTERM)
    assert [one.finish() for one in daemons[1:]] == [0, 0], daemons[1].said
    fired = {name: keys_fired(desk, name) for name in ("beat", "inbox")}
    runs = {name: desk.runs(name, limit=None) for name in ("ticks", "files")}
    assert len(fired["inbox"]) == len(set(fired["inbox"])) == len(runs["files"]) == 120
    assert len(fired["beat"]) == len(set(fired["beat"])) == len(runs["ticks"])
    assert {row.inputs["path"] for row in runs["files"]} == {str(f) for f in inbox.iterdir()}
    slots = [row.inputs["slot"] for row in runs["ticks"]]
    assert len(slots) == len(set(slots)) > 6
    noted = [json.loads(line) for line in (folder / "notes.txt").read_text().splitlines()]
    workers = {pid for _, _, pid in noted}
    assert len(workers) > 1, "they share the work"
