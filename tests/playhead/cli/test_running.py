"""`run` and `start`: results on stdout, everything else on stderr, and the exit codes."""

import json
from pathlib import Path
from typing import Any


def test_run_prints_the_result_and_nothing_else(cli: Any) -> None:
    """One JSON value on stdout; the steps and their progress on stderr."""
    done = cli("run", "app.py:hello", "name=Ann", "times=2")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == "HELLO, ANN!HELLO, ANN!"
    assert "shout: 50% half way" in done.stderr
    assert "shout: succeeded" in done.stderr


def test_run_can_be_quiet(cli: Any) -> None:
    """With --quiet, or --json, stderr stays empty when all goes well."""
    assert cli("run", "app.py:hello", "name=Ann", "-q").stderr == ""
    done = cli("run", "app.py:hello", "name=Ann", "--json")
    assert (done.stdout, done.stderr) == ('"HELLO, ANN!"\n', "")


def test_inputs_are_read_as_annotated(cli: Any) -> None:
    """Text stays text, lists and flags are JSON, an enum is its value, no annotation guesses."""
    words = ("anything=7", "words=7", "size=l", "path=a/b", "many=[1,2]", "on=true")
    done = cli("run", "app.py:echo", *words)
    assert json.loads(done.stdout) == {
        "anything": 7, "words": "7", "size": "l", "path": "a/b", "many": [1, 2], "on": True,
    }  # fmt: skip


def test_a_failed_run_is_exit_code_1(cli: Any) -> None:
    """On stderr are step, attempts, error and the command that replays it; stdout is empty."""
    done = cli("run", "app.py:bad", "name=x")
    assert (done.exit_code, done.stdout) == (1, "")
    assert (
        "failed at step 'boom' after 1 attempt: ValueError: no such \\x1b[31mx" in done.stderr
    )
    assert "\x1b" not in done.stderr
    run_id = json.loads(cli("runs", "--app", "app.py", "--json").stdout)[0]["id"]
    assert f"playhead replay {run_id} --url sqlite:///app.db" in done.stderr


def test_a_failed_run_as_json(cli: Any) -> None:
    """With --json stderr is one JSON object with the same facts."""
    done = cli("run", "app.py:bad", "name=x", "--json")
    told = json.loads(done.stderr)
    assert (done.exit_code, done.stdout) == (1, "")
    assert told["status"] == "failed"
    assert told["error"]["step"] == "boom"
    assert told["error"]["type"] == "ValueError"
    assert told["replay"].startswith(f"playhead replay {told['id']}")


def test_wrong_commands_are_exit_code_2(cli: Any) -> None:
    """A wrong input, workflow, app or option starts nothing and says why on stderr."""
    for words, said in [
        (("runs", "--app", "app.py"), "there is no database app.db"),
        (("run", "app.py:hello", "nam=x"), "did you mean 'name'?"),
        (("run", "app.py:hello"), "needs input 'name'"),
        (("run", "app.py:hello", "name"), "write name=value"),
        (("run", "app.py:hello", "name=x", "times=y"), "input times=y: Expected `int`"),
        (("run", "app.py:nothing"), "there is no workflow 'nothing'"),
        (("run", "hello", "name=x"), "which app"),
        (("run", "app.py:hello", "--nope"), "--nope"),
        (("run",), "APP:WORKFLOW"),
        (("nope",), "nope"),
    ]:
        done = cli(*words)
        assert (done.exit_code, done.stdout) == (2, ""), words
        assert said in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert "there is no database" in cli("runs", "--app", "app.py").stderr


def test_the_same_key_is_the_same_run(cli: Any) -> None:
    """A key starts one run for ever; with other inputs it is refused."""
    first = cli("start", "app.py:waits", "--key", "k").stdout
    assert cli("start", "app.py:waits", "--key", "k").stdout == first
    cli("run", "app.py:hello", "name=a", "--key", "k", "-q")
    done = cli("run", "app.py:hello", "name=b", "--key", "k")
    assert (done.exit_code, "other inputs" in done.stderr) == (2, True)


def test_start_prints_an_id(cli: Any) -> None:
    """`start` is durable and prints the id as JSON, with --json the run; tags are kept."""
    run_id = json.loads(cli("start", "app.py:hello", "name=a", "--tag", "who=me").stdout)
    row = json.loads(cli("runs", "--app", "app.py", "--tag", "who=me", "--json").stdout)[0]
    assert (row["id"], row["status"], row["tags"]) == (run_id, "running", {"who": "me"})
    later = ("--at", "2999-01-01", "--json")
    assert json.loads(cli("start", "app.py:waits", *later).stdout)["status"] == "scheduled"


def test_app_and_url_may_come_from_the_environment(cli: Any, folder: Path) -> None:
    """PLAYHEAD_APP is --app, PLAYHEAD_URL is --url and overrides the app's database."""
    env = {"PLAYHEAD_APP": "app.py", "PLAYHEAD_URL": "sqlite:///other.db"}
    assert cli("run", "hello", "name=a", "-q", env=env).exit_code == 0
    assert (folder / "other.db").exists()
    assert not (folder / "app.db").exists()
    assert (
        len(json.loads(cli("runs", "--json", env={"PLAYHEAD_URL": env["PLAYHEAD_URL"]}).stdout))
        == 1
    )
    assert cli("run", "hello", "name=a", "-q", "--app", "app.py:engine").exit_code == 0


def test_without_app_and_url_it_says_what_is_missing(cli: Any) -> None:
    """Nothing is guessed."""
    done = cli("runs")
    assert done.exit_code == 2
    assert "--url sqlite:///file.db (or PLAYHEAD_URL)" in done.stderr
    assert "--app app.py (or PLAYHEAD_APP)" in done.stderr
