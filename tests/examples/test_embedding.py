"""The examples of embedding: each host runs, and ends as it found its process."""

import asyncio
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from tests.journeys.belongings import belongings
from tests.playhead.served import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "06_embedding"
SHIPPED = "lamp is put aside, paid 9.50, shipped"


def play(script: str, folder: Path) -> list[str]:
    """Run a host to its end; give the lines that it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE / script)], cwd=folder, check=False,
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_thread_holds_it(tmp_path: Path) -> None:
    """The run that another thread started ends well, the engine was healthy, no thread is left."""
    assert play("in_a_thread.py", tmp_path) == [SHIPPED, "healthy: True", "threads left: 0"]


def test_a_loop_holds_it(tmp_path: Path) -> None:
    """Two runs are awaited side by side, and no thread is left."""
    lines = play("in_asyncio.py", tmp_path)
    assert lines == [SHIPPED, "desk is put aside, paid 120.00, shipped", "threads left: 0"]


def test_the_hosts_signals_are_its_own(tmp_path: Path) -> None:
    """SIGTERM reaches the host's handler; it leaves the engine, and ends with 0."""
    host = subprocess.Popen(
        [sys.executable, "-W", "error", str(EXAMPLE / "in_asyncio.py"), "stay"], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert host.stdout is not None
        while host.stdout.readline() not in ("open\n", ""):
            pass
        host.send_signal(signal.SIGTERM)
        out, err = host.communicate(timeout=60)
        assert (host.returncode, out, err) == (0, "threads left: 0\n", "")
    finally:
        host.kill()
        host.communicate()


def test_a_web_application_holds_it(tmp_path: Path) -> None:
    """Orders and payments sent twice count once; a result is awaited by HTTP; nothing is left."""
    assert play("in_starlette.py", tmp_path) == [
        "ready: 200", "the bank is told: [202, 200]", SHIPPED, "orders: 1", "threads left: 0",
    ]  # fmt: skip


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Give the web application, in this process."""
    monkeypatch.setenv("SHOP_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLE))
    for name in ("shop", "in_starlette"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("in_starlette")
    for name in ("shop", "in_starlette"):
        sys.modules.pop(name, None)


async def visit(host: ModuleType, folder: Path, number: int) -> None:
    """Be a customer, and one who writes letters, while the application lives."""
    async with (
        host.app.router.lifespan_context(host.app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(host.app), base_url="http://shop"
        ) as client,
    ):
        assert (await client.get("/readyz")).status_code == 200
        taken = await client.post("/orders", json={"order": f"lamp {number}"})
        assert taken.status_code == 202
        body, headers = host.delivery(taken.json()["run"], 1)
        paid = await client.post("/hooks/payments", content=body, headers=headers)
        assert paid.status_code == 202
        forged = await client.post("/hooks/payments", content=body + b" ", headers=headers)
        assert forged.status_code == 401
        answer = await client.get(taken.headers["location"])
        assert answer.json() == {"result": f"lamp {number} is put aside, paid 1.00, shipped"}
        (folder / "orders" / f"ann-{number}.txt").write_text("a lamp, please")
        await asyncio.to_thread(
            wait_until,
            lambda: len(host.engine.runs("letters", status="succeeded")) == number + 1,
        )


def test_a_lifespan_leaves_nothing_behind(host: ModuleType, tmp_path: Path) -> None:
    """Twice in a row, with a watched folder: threads, handles, watches are as before."""
    before = belongings()
    for number in range(2):
        asyncio.run(visit(host, tmp_path, number))
        wait_until(lambda: belongings() == before)  # anyio's threads end soon after the loop


def test_an_application_that_fails_leaves_nothing_behind(host: ModuleType) -> None:
    """An error while it lives goes through, and the engine is left."""
    before = belongings()

    async def fail() -> None:
        async with host.app.router.lifespan_context(host.app):
            raise LookupError("the application is broken")

    with pytest.raises(LookupError):
        asyncio.run(fail())
    wait_until(lambda: belongings() == before)


def test_an_application_that_is_cancelled_leaves_nothing_behind(host: ModuleType) -> None:
    """A server that is stopped cancels what holds the lifespan; the engine is left."""
    before = belongings()

    async def live(entered: asyncio.Event) -> None:
        async with host.app.router.lifespan_context(host.app):
            entered.set()
            await asyncio.Event().wait()

    async def stop() -> None:
        entered = asyncio.Event()
        task = asyncio.create_task(live(entered))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stop())
    wait_until(lambda: belongings() == before)


def test_a_real_server_holds_it(tmp_path: Path) -> None:
    """Under uvicorn it answers while it lives, and SIGTERM ends it within moments."""
    words = ["--app-dir", str(EXAMPLE), "in_starlette:app", "--port", "0"]
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *words], cwd=tmp_path, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert server.stderr is not None
        url = ""
        for line in server.stderr:
            if "running on " in line:
                url = line.partition("running on ")[2].split()[0]
                break
        assert httpx.get(f"{url}/readyz", trust_env=False).json() == {"reason": ""}
        server.send_signal(signal.SIGTERM)
        _, err = server.communicate(timeout=60)
        assert "Application shutdown complete" in err
    finally:
        server.kill()
        server.communicate()
