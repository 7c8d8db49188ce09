"""The daemon's example: its app is served, its unit is sound, its Containerfile does what it says.

No container engine is at hand here, so no image is built: the instructions are read one by one,
held against the tree, and what they would run is run.
"""

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from freezegun import freeze_time

from engine.app import Engine
from eventstore import clock
from playhead.loading import load_engine
from tests.playhead.served import Served, wait_until
from tests.triggers.webhook.signing import SECRETS, signed

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "05_daemon"
APP = EXAMPLE / "app.py"
UNIT = EXAMPLE / "playhead.service"
SYSTEMD = shutil.which("systemd-analyze")


def test_the_app_is_served(tmp_path: Path) -> None:
    """A file that is dropped in is a run, health is answered, SIGTERM drains."""
    daemon = Served(tmp_path, str(APP), "--http", "127.0.0.1:0", STATE_DIRECTORY=str(tmp_path))
    try:
        daemon.ready()
        (tmp_path / "inbox" / "a.txt").write_text("one two three")
        desk = Engine(f"sqlite:///{tmp_path / 'playhead.db'}")
        wait_until(lambda: desk.runs("words", status="succeeded"))
        assert desk.get(desk.runs("words")[0].id).result(timeout=1) == 3
        assert [daemon.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]
        daemon.tell(signal.SIGTERM)
        assert daemon.finish() == 0
    finally:
        daemon.end()


def test_the_app_takes_in_letters(tmp_path: Path) -> None:
    """A signed delivery is one run, also when it is sent again; its letter lies in the inbox."""
    daemon = Served(
        tmp_path, str(APP), "--http", "127.0.0.1:0", STATE_DIRECTORY=str(tmp_path),
        WEBHOOK_SECRET=SECRETS["standard"],
    )  # fmt: skip
    try:
        body = b'{"text": "one two three four"}'
        headers = signed("standard", body, clock.now_us() // clock.SECOND)
        url = f"{daemon.ready().url}/hooks/letters"
        answers = [httpx.post(url, content=body, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 200]
        assert httpx.post(url, content=b"{}", headers=headers).status_code == 401
        desk = Engine(f"sqlite:///{tmp_path / 'playhead.db'}")
        wait_until(lambda: desk.runs("words", status="succeeded"))
        (letter,) = desk.runs("letters")
        assert [answer.json()["run"] for answer in answers] == [letter.id] * 2
        (counted,) = desk.runs("words")
        assert counted.inputs["path"] == str(tmp_path / "inbox" / f"{letter.id}.txt")
        assert desk.get(counted.id).result(timeout=1) == 4
    finally:
        daemon.end()


def test_the_app_has_a_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each morning at six in Paris one report is written, also in summer."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    with freeze_time("2030-07-01T00:00:00Z") as frozen:
        engine = load_engine(str(APP))
        sys.modules.pop("app", None)  # other tests have one, too
        engine.run_until_idle()
        (tmp_path / "inbox" / "a.txt").write_text("words")
        frozen.move_to("2030-07-01T04:00:00Z")
        engine.run_until_idle()
        frozen.tick(1)
        engine.run_until_idle()
        assert engine.run("daily", slot="2030-07-01T04:00:00Z") == "2030-07-01.txt"
        engine.close()
    assert [row.workflow for row in engine.runs("daily")] == ["daily", "daily"]
    assert (tmp_path / "reports" / "2030-07-01.txt").read_text() == "a.txt\n"
    engine.close()


# --- the unit ------------------------------------------------------------------------------


@pytest.fixture
def unit() -> configparser.ConfigParser:
    """Read the unit; each of its keys stands there once."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] - systemd minds the case
    parser.read_string(UNIT.read_text("utf-8"))
    return parser


def test_the_unit_says_what_the_daemon_needs(unit: configparser.ConfigParser) -> None:
    """It waits for readiness, bites a worker that hangs, and gives a drain the time it takes."""
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["KillMode"] == "mixed"
    grace = re.search(r"GRACE = ([\d.]+)", APP.read_text("utf-8"))
    assert grace is not None
    assert int(service["TimeoutStopSec"]) > float(grace[1]) + 10
    assert int(service["WatchdogSec"]) > 60, "twice the patience with a look that takes long"
    assert service["User"] == "playhead"
    assert service["StateDirectory"] == "playhead"
    assert service["WorkingDirectory"] == "/var/lib/playhead"
    assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "yes")
    families = set(service["RestrictAddressFamilies"].split())
    assert families == {"AF_UNIX", "AF_INET", "AF_INET6"}, "hints and systemd are unix sockets"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.skipif(SYSTEMD is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    """`systemd-analyze verify` is silent, and `security` calls the exposure low."""
    program = str(Path(sys.executable).with_name("playhead"))
    text = UNIT.read_text("utf-8").replace("/srv/playhead/.venv/bin/playhead", program)
    copy = tmp_path / "playhead.service"
    copy.write_text(text, "utf-8")
    command = [str(SYSTEMD), "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    told = [line for line in done.stderr.splitlines() if "playhead.service" in line]
    assert (done.returncode, told) == (0, []), done.stderr
    command = [str(SYSTEMD), "security", "--offline=yes", "--threshold=30", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    if "offline" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit that is not loaded")
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_command_of_the_unit_is_one_that_is_obeyed(
    unit: configparser.ConfigParser, tmp_path: Path
) -> None:
    """What ExecStart says, with this tree's program and a free port, comes up ready."""
    program, verb, app, *options = shlex.split(unit["Service"]["ExecStart"])
    assert (Path(program).name, verb, Path(app).name) == ("playhead", "serve", "app.py")
    assert options[0] == "--http"
    options[1] = options[1].replace(":8725", ":0")
    daemon = Served(tmp_path, str(APP), *options, STATE_DIRECTORY=str(tmp_path))
    try:
        assert daemon.ready().get("/readyz").status_code == 200
    finally:
        daemon.end()


# --- the image -----------------------------------------------------------------------------


class Instruction(NamedTuple):
    """One instruction of a Containerfile."""

    verb: str
    words: str


def instructions() -> list[Instruction]:
    """Give the instructions in order, continued lines joined, comments left out."""
    text = (EXAMPLE / "Containerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


def last(verb: str) -> str:
    """Give the words of the last instruction of a kind."""
    return [words for known, words in instructions() if known == verb][-1]


def test_the_image_is_slim_and_works_as_nobody_special() -> None:
    """Both stages are slim Python; the last user is not root, and owns the volume."""
    found = [words for verb, words in instructions() if verb == "FROM"]
    assert [re.fullmatch(r"docker\.io/library/python:3\.\d+-slim( AS \w+)?", w) for w in found]
    assert {i.verb for i in instructions()} == {
        "FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "STOPSIGNAL",
        "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    user = last("USER")
    assert user not in ("root", "0")
    making = [words for verb, words in instructions() if verb == "RUN"][-1]
    assert f"useradd --system --uid 10001 --no-create-home {user}" in making
    assert f"install -d -o {user} -g {user} -m 0770 {last('VOLUME')}" in making
    assert f"STATE_DIRECTORY={last('VOLUME')}" in last("ENV")
    assert last("WORKDIR") == last("VOLUME")


def test_the_image_is_made_of_what_is_there() -> None:
    """What is copied lies in the tree, and is all that the distribution is built from."""
    copied = [shlex.split(words) for verb, words in instructions() if verb == "COPY"]
    sources = [
        source for words in copied if not words[0].startswith("--") for source in words[:-1]
    ]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert {"eventstore", "engine", "triggers", "playhead", "pyproject.toml"} <= set(sources)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for named in re.findall(
        r'^(?:readme = |license-files = \[)"(\w[\w.]*)"', project, re.MULTILINE
    ):
        assert named in sources
    installing = next(words for verb, words in instructions() if verb == "RUN")
    assert installing.endswith("pip install --no-cache-dir '/src[web]'")


def test_the_image_stops_softly() -> None:
    """SIGTERM reaches the daemon itself: no shell stands between."""
    assert last("STOPSIGNAL") == "SIGTERM"
    assert json.loads(last("ENTRYPOINT"))[:2] == ["playhead", "serve"]
    assert isinstance(json.loads(last("CMD")), list)


def test_the_image_tells_its_health(tmp_path: Path) -> None:
    """What it starts comes up; what HEALTHCHECK runs is content then, and not when it is gone."""
    _, _, app = json.loads(last("ENTRYPOINT"))
    copied = [shlex.split(words) for verb, words in instructions() if verb == "COPY"]
    assert ["examples/05_daemon/app.py", app] in copied
    option, address = json.loads(last("CMD"))
    port = address.rpartition(":")[2]
    assert (last("EXPOSE"), address) == (port, f"0.0.0.0:{port}")
    program, *words = json.loads(re.sub(r".*? CMD ", "", last("HEALTHCHECK"), count=1))
    assert program == "python"
    daemon = Served(tmp_path, str(APP), option, "127.0.0.1:0", STATE_DIRECTORY=str(tmp_path))
    try:
        here = daemon.ready().url.rpartition(":")[2]
        words = [word.replace(f":{port}/", f":{here}/") for word in words]
        surroundings = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}

        def check() -> int:
            return subprocess.run(
                [sys.executable, *words], env=surroundings, capture_output=True, check=False
            ).returncode

        assert check() == 0
        daemon.tell(signal.SIGTERM)
        assert daemon.finish() == 0
        assert check() != 0
    finally:
        daemon.end()
