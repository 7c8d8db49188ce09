"""Commands on a log that is encoded: with the app they see all, with a url what is clear."""

import json
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from freezegun import freeze_time

from eventstore import clock

APP = """
from cryptography.fernet import Fernet

from playhead import Engine, Workflow, step


class Box:
    def __init__(self, key):
        box = Fernet(key)
        self.encode, self.decode = box.encrypt, box.decrypt


@step
def greet(name: str) -> str:
    if name == "nobody":
        raise ValueError("nobody is no name")
    return f"Hello, {name}!"


hello = Workflow("hello", steps=[greet])
engine = Engine("sqlite:///app.db", workflows=[hello], codec=Box(%r))
"""
URL = ("--url", "sqlite:///app.db")


@pytest.fixture
def coded(cli, folder):
    (folder / "app.py").write_text(APP % Fernet.generate_key(), "utf-8")
    assert cli("run", "app.py:hello", "name=Ann").exit_code == 0
    assert cli("run", "app.py:hello", "name=nobody").exit_code == 1
    return cli


def test_a_url_alone_shows_what_is_clear(coded):
    """Ids, workflows, statuses, keys and the moves of events are shown; no word of a value."""
    done = coded("runs", *URL)
    assert done.exit_code == 0, done.stderr
    assert "hello" in done.stdout
    assert "succeeded" in done.stdout
    assert "are encoded; name the app whose engine has the codec" in done.stderr
    for command in ("show", "replay"):
        done = coded(command, "last", *URL)
        assert done.exit_code == 0, done.stderr
        assert "step.failed" in done.stdout
        assert "nobody" not in done.stdout
        assert "--app" in done.stderr


def test_a_url_alone_says_in_json_what_is_missing(coded):
    """Each document that has more says `coded`; filters that ask for what is clear work."""
    (row,) = json.loads(coded("runs", "--json", "--status", "failed", *URL).stdout)
    assert (row["workflow"], row["status"], row["coded"]) == ("hello", "failed", True)
    assert "inputs" not in row
    shown = json.loads(coded("show", row["id"], "--json", *URL).stdout)
    assert shown["events"][0]["type"] == "run.started"
    assert all(event["coded"] for event in shown["events"])
    events = json.loads(coded("replay", row["id"], "--json", *URL).stdout)
    assert events == shown["events"]
    until = events[1]["at"]
    for place in ("2", until):
        part = json.loads(coded("replay", row["id"], "--json", "--at", place, *URL).stdout)
        assert part == [event for event in events if event["at"] <= until]


def test_with_the_app_all_is_seen(coded):
    """The app's codec reads it; a url beside the app says which database."""
    for where in (("--app", "app.py"), ("--app", "app.py", *URL)):
        rows = json.loads(coded("runs", "--json", *where).stdout)
        assert [row["inputs"] for row in rows] == [{"name": "nobody"}, {"name": "Ann"}]
        shown = coded("show", "last", *where)
        assert "nobody is no name" in shown.stdout
        assert shown.stderr == ""


def test_a_command_that_needs_values_says_what_to_do(coded):
    """What cannot be done without values is refused with the sentence that helps."""
    run = json.loads(coded("runs", "--json", "--limit", "1", *URL).stdout)[0]["id"]
    done = coded("retry", run, *URL)
    assert done.exit_code == 2
    assert f"event 1 of '{run}' is stored encoded" in " ".join(done.stderr.split())
    assert coded("verify", *URL).exit_code == 0


def test_pruning_without_the_codec_leaves_large_values(coded):
    """Histories go by a url alone, and what stays is told; with the app it goes too."""
    with freeze_time(clock.from_us(clock.now_us()) - timedelta(days=40)):
        for name in ("Eve" * 30_000, "Bob" * 30_000):
            coded("run", "app.py:hello", f"name={name}", "-q", "--key", name[:3])
    done = coded("prune", "--older-than", "30d", *URL)
    assert (done.exit_code, done.stdout.partition(":")[0]) == (0, "2 runs lost their history")
    assert "large values stay: events that name those in use are encoded" in done.stderr
    said = json.loads(coded("prune", "--older-than", "30d", "--json", *URL).stdout)
    assert (said["runs"], said["blobs"], said["blob_bytes"]) == ([], None, None)
    done = coded("prune", "--older-than", "30d", *URL, "--app", "app.py")
    assert "large values that nothing names any more went" in done.stdout
    assert done.stderr == ""
    assert coded("verify", "--deep", *URL, "--app", "app.py").exit_code == 0
