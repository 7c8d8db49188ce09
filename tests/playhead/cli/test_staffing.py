"""`workers`, and what `stats` says of them; no command tells a password."""

import json
import re
import threading
from pathlib import Path
from typing import Any

from eventstore import Headline, WorkerRow, clock
from eventstore.testing import birth
from playhead import Engine, Workflow, step
from playhead.cli import upkeep
from tests.servers.waiting import wait_for

URL = ("--url", "sqlite:///app.db")
CANARY = "c4n4ry"


@step
def nothing(x: int) -> int:
    return x


def read(cli: Any, *words: object) -> Any:
    result = cli(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_nobody_is_about(cli: Any, folder: Path) -> None:
    """Without workers it says so, and names what nobody has taken, by workflow, and since when."""
    engine = Engine(
        f"sqlite:///{folder / 'app.db'}", workflows=[Workflow("flow", steps=[nothing])]
    )
    engine.start("flow", x=1)
    engine.close()
    assert "no worker is about" in cli("workers", *URL).stderr
    told = cli("workers", *URL).stdout
    assert re.fullmatch(r"untaken   1 run of flow, due for \d+\.\d s\n", told), told
    doc = read(cli, "workers", *URL)
    assert doc["workers"] == []
    assert doc["lag"]["runs"] == 1
    assert doc["lag"]["workflows"]["flow"]["runs"] == 1
    assert 0 <= doc["lag"]["seconds"] < 20


def test_who_holds_what(cli: Any, folder: Path) -> None:
    """Each living worker with its runs by workflow; `stats` counts them too."""
    gate = threading.Event()

    @step
    def hold(x: int) -> int:
        gate.wait(20)
        return x

    with Engine(
        f"sqlite:///{folder / 'app.db'}",
        workflows=[Workflow("flow", steps=[hold])],
        worker="ann",
    ) as engine:
        runs = [engine.start("flow", x=x) for x in range(3)]
        wait_for(
            lambda: engine.log.owned(engine.worker.id).keys() == {r.id for r in runs}, "runs"
        )
        try:
            doc = read(cli, "workers", *URL)
            (ann,) = doc["workers"]
            assert (ann["name"], ann["state"], ann["runs"]) == ("ann", "alive", {"flow": 3})
            assert 0 < ann["seconds_left"] <= 10
            assert ann["skew"] is None
            assert doc["lag"]["runs"] == 0
            assert re.search(r"ann .* s left .*3 +flow 3", cli("workers", *URL).stdout)
            assert "ann on" in (told := cli("stats", *URL).stdout)
            assert "holds 3 runs" in told
            assert read(cli, "stats", *URL)["workers"][0]["runs"] == {"flow": 3}
        finally:
            gate.set()


def test_the_lapsed_the_dead_and_the_unknown(cli: Any, folder: Path) -> None:
    """A lease that ran out, a dead worker and an owner without a lease are told apart."""
    engine = Engine(f"sqlite:///{folder / 'app.db'}")
    now = clock.now_us()
    for name, until in (("late", now - 10**6), ("gone", now - 10**6)):
        engine.log.enter(WorkerRow(name, name, "h", 1, now, until, ()))
        birth(engine.log, f"run-{name}", headline=Headline(name="flow"), owner=name)
    birth(engine.log, "run-lost", headline=Headline(name="flow"), owner="nobody")
    engine.close()  # lets go of the locks, as the end of a process does
    engine.log.enter(WorkerRow("late", "late", "h", 1, now, now - 10**6, ()))
    assert engine.log.bury(now=now) == ["gone"]
    docs = {doc["id"]: doc for doc in read(cli, "workers", *URL)["workers"]}
    assert {name: doc["state"] for name, doc in docs.items()} == {
        "late": "lapsed", "gone": "dead", "nobody": "unknown",
    }  # fmt: skip
    assert all(doc["runs"] == {"flow": 1} for doc in docs.values())
    told = cli("workers", *URL).stdout
    assert re.search(r"late .*ran out \d", told)
    assert re.search(r"gone .* dead", told)
    assert re.search(r"nobody .* no lease", told)
    engine.close()


def test_counting_reads_no_row(folder: Path) -> None:
    """`stats` of 10 runs and of 200 asks the database equally often, and lists none of them."""
    engine = Engine(
        f"sqlite:///{folder / 'many.db'}", workflows=[Workflow("flow", steps=[nothing])]
    )
    asked = []
    for number in (10, 190):
        for x in range(number):
            engine.start("flow", x=x)
        before = engine.log.counters.statements
        assert upkeep._stats(engine)["runs"] == {"running": 200 if asked else 10}
        asked.append(engine.log.counters.statements - before)
    assert asked[0] == asked[1] <= 8
    engine.close()


def test_no_command_tells_a_password(cli: Any, postgres_url: str) -> None:
    """Listed, counted, refused or failed: a canary in the url's password is nowhere."""
    secret = re.search(r"//[^:]+:([^@]+)@", postgres_url)
    assert secret is not None
    told = []
    for words in (
        ["run", "app.py:calls"], ["stats"], ["workers"],
        ["verify"], ["show", "last"], ["show", "none-such"], ["breakers", "trip", "no"],
        ["triggers", "pause", "no"], ["runs"], ["backup", "copy.db"], ["migrate"],
    ):  # fmt: skip
        done = cli(*words, "--url", postgres_url)
        told.append(done.stdout + done.stderr)
    assert "***" in told[0]
    assert "***" in told[1]
    wrong = postgres_url.replace(secret[1], CANARY)
    for url in (wrong, wrong.replace("127.0.0.1", "127.0.0.1:1/x"), f"mysql://a:{CANARY}@h/d"):
        done = cli("stats", "--url", url)
        assert done.exit_code == 2
        told.append(done.stdout + done.stderr)
    assert not [text for text in told if secret[1] in text or CANARY in text]
