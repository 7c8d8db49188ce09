"""Which log a command is about: an app's engine may be moved to another database."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from playhead import Engine, IntervalTrigger, Secrets, Workflow, step
from playhead.cli.target import moved

URLS = ("sqlite:///:memory:", "sqlite:///other.db")


@step
def one() -> int:
    return 1


class Upright:
    """A codec that leaves everything as it is."""

    def encode(self, content: bytes) -> bytes:
        """Give it as it is."""
        return content

    decode = encode


def test_an_engine_moved_by_a_url_keeps_its_options() -> None:
    """With --url everything but the database is as the app says, lease and name too."""
    simple = Workflow("simple", steps=[one])
    options = {
        "workflows": [simple],
        "triggers": [IntervalTrigger(60, simple)],
        "threads": 3,
        "worker": "host-7",
        "lease": 42.0,
        "grace": 7.0,
        "max_value": 1000,
        "tape": "always",
        "codec": Upright(),
        "secrets": Secrets(fields=["iban"]),
    }
    known = set(inspect.signature(Engine).parameters) - {"url", "executors"}
    assert known == set(options), "an option that is new is to be moved too"
    engine = Engine(URLS[0], **options)  # type: ignore[arg-type]
    there = moved(engine, URLS[1])
    assert there.url == URLS[1]
    assert (there.threads, there.grace, there.max_value, there.tape) == (3, 7.0, 1000, "always")
    assert (there.worker_name, there.lease) == ("host-7", 42.0)
    assert there.worker.lease == 42_000_000
    assert (there.codec, there.secrets) == (options["codec"], options["secrets"])
    assert (there.workflows, there.triggers) == (engine.workflows, engine.triggers)
    assert moved(engine, None) is moved(engine, URLS[0]) is engine


@pytest.mark.parametrize(
    "words",
    [
        ("stats", "{}"),
        ("show", "{}"),
        ("serve", "{}"),
        ("stats", "--app", "{}"),
        ("start", "{}"),
        ("prune", "--older-than", "{}"),
        ("import", "{}"),
        ("stats", "--url", "{}"),
        ("backup", "copy.db", "-u", "{}"),
    ],
)
def test_a_url_in_a_wrong_place_is_quoted_without_its_password(
    cli: Any, words: tuple[str, ...]
) -> None:
    """Whatever was mistaken for what: the refusal may end in a ticket or in a log."""
    cli("start", "app.py:waits")
    url = "mysql://ann:c4n4ry@127.0.0.1/db"
    given = () if "--url" in words or "--app" in words else ("--url", "sqlite:///app.db")
    refused = cli(*(word.format(url) for word in words), *given)
    assert refused.exit_code == 2, refused
    assert "playhead" in refused.stderr
    assert "c4n4ry" not in refused.stdout + refused.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("show", "a\udcff"), ("verify", "\udcff"), ("export", "--run", "\udcff"),
        ("show", "a\0"), ("prune", "--older-than", "1d", "--workflow", "a\udcff"),
        ("runs", "--workflow", "a\udcff"), ("export", "--follow", "--workflow", "a\udcff"),
    ],
)  # fmt: skip
def test_names_that_are_no_text_are_refused(cli: Any, words: tuple[str, ...]) -> None:
    """A shell hands over any bytes: what is no UTF-8 names nothing, in a sentence."""
    cli("start", "app.py:waits")
    refused = cli(*words, "--url", "sqlite:///app.db")
    assert refused.exit_code == 2
    assert "no run" in refused.stderr or "holds a lone surrogate: no UTF-8" in refused.stderr


def test_a_file_that_is_not_there_is_told_however_it_was_written(
    cli: Any, folder: Path
) -> None:
    """`./log.jsonl` is as good a name as `log.jsonl`."""
    for name in ("log.jsonl", "./log.jsonl", f"{folder}//log.jsonl"):
        refused = cli("import", name, "--url", "sqlite:///new.db")
        assert (refused.exit_code, refused.stderr) == (
            2, f"playhead: cannot read {name}: No such file or directory\n",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "is_private"),
    [
        ("memory://", True), ("memory://x", True), ("sqlite://", True), ("sqlite:///", True),
        ("sqlite:///:memory:", True), ("sqlite+pysqlite:///:memory:", True),
        ("sqlite:///a:memory:", False), ("sqlite:///memory.db", False),
        ("postgresql://", False), ("postgresql://h/:memory:", False),
    ],
)  # fmt: skip
def test_what_lies_in_memory_is_private(url: str, *, is_private: bool) -> None:
    """So nothing can be read from there by a command; a server by libpq's defaults can be."""
    engine = Engine(url)
    assert engine.is_private == is_private
    engine.close()
