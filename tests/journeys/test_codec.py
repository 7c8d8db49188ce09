"""An engine with a codec: all that runs is encoded on the disk, and the same engine reads it."""

import logging
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, MultiFernet

import engine.repository
import engine.triggerstream
from eventstore import clock
from eventstore.coded import is_coded
from eventstore.errors import LogError, StillCoded
from eventstore.sweeping import REST, sweep
from playhead import (
    DefinitionError,
    Engine,
    FileTrigger,
    Signal,
    StorageError,
    Workflow,
    step,
)
from playhead.testing import assert_replays

WORDS = "words that nobody is to see"


class Box:
    """Fernet as a codec: the first key encodes, each of them decodes."""

    def __init__(self, *keys):
        box = MultiFernet([Fernet(key) for key in keys])
        self.encode, self.decode = box.encrypt, box.decrypt


@step
def swell(given: str) -> list[str]:
    return [given] * 5000


@step
def fail(swell: list[str]) -> str:
    raise ValueError(f"refused {swell[0]}")


@step
def end(word: str, given: str) -> str:
    return given + word


failing = Workflow("failing", steps=[swell, fail])
waiting = Workflow("waiting", steps=[Signal("word", str), end])
FLOWS = [failing, waiting]


@pytest.fixture
def key():
    return Fernet.generate_key()


def raw(url):
    """Give all events of a log as they are stored."""
    with_no_codec = Engine(url)
    stored = with_no_codec.log.read_all(limit=10_000)
    with_no_codec.log.close()
    return stored


def live(url, *keys, **options):
    """Make an engine with a codec of some keys."""
    return Engine(url, workflows=FLOWS, codec=Box(*keys), **options)


def test_a_life_of_runs_is_encoded_and_read_again(file_url, tmp_path, key, monkeypatch):
    """Inputs, results, errors, large values, copies and labels: written, restarted, read."""
    monkeypatch.setattr(engine.repository, "SNAPSHOT_EVERY", 1)
    first = live(file_url, key)
    broken = first.start(failing, given=WORDS, key="k", tags={"t": "x"})
    run = first.start(waiting, given=WORDS)
    first.run_until_idle()
    first.signal(run, "word", "!")
    first.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert [path.name for path in files if WORDS.encode() in path.read_bytes()] == []
    assert all(is_coded(event.data) for event in raw(file_url))
    again = live(file_url, key)
    again.run_until_idle()
    assert again.get(run.id).result() == WORDS + "!"
    (row,) = again.runs(status="failed", key="k", tags={"t": "x"})
    assert (row.id, row.error["message"]) == (broken.id, f"refused {WORDS}")
    assert again.history(broken)[2].value("output") == [WORDS] * 5000
    assert_replays(again.get(run.id))
    assert list(again.log.verify()) == list(Engine(file_url).log.verify()) == []
    again.close()


def test_the_deep_look_reads_through_the_codec(file_url, key, monkeypatch):
    """With the codec, fold, rows and copies agree; without, the chain is judged and no more."""
    monkeypatch.setattr(engine.repository, "SNAPSHOT_EVERY", 1)
    made = live(file_url, key)
    made.start(failing, given=WORDS, key="k")
    made.start(waiting, given=WORDS)
    made.run_until_idle()
    deep = made.verify(deep=True)
    assert (deep.faults, deep.streams) == ([], 2)
    assert deep.snapshots
    made.close()
    for other in (Engine(file_url), live(file_url, Fernet.generate_key())):
        assert other.verify().ok
        with pytest.raises(StorageError, match="is stored encoded"):
            other.verify(deep=True)
        other.close()


def test_a_codec_is_switched_on_in_the_middle_of_a_run(url, file_url, key):
    """A run begun in clear goes on encoded; both halves are read, and it ends as it would have."""
    before = Engine(file_url, workflows=FLOWS)
    run = before.start(waiting, given=WORDS)
    before.run_until_idle()
    before.close()
    after = live(file_url, key)
    after.signal(run.id, "word", "!")
    after.run_until_idle()
    assert after.get(run.id).result() == WORDS + "!"
    after.close()
    coded = [is_coded(event.data) for event in raw(file_url)]
    assert coded == sorted(coded)
    assert set(coded) == {False, True}


def test_no_codec_and_the_wrong_key_are_told(file_url, key):
    """Whoever reads a run, its row, or a trigger hears which event it is and what to do."""
    first = live(file_url, key)
    broken = first.start(failing, given=WORDS)
    first.run_until_idle()
    first.close()
    for other, said in (
        (Engine(file_url, workflows=FLOWS), "is stored encoded: read it with its codec"),
        (live(file_url, Fernet.generate_key()), "give the codec the key that wrote it"),
    ):
        for ask in (other.history, other.playhead, other.get, lambda _, o=other: o.runs()):
            with pytest.raises(StorageError, match=said) as refused:
                ask(broken.id)
            assert broken.id in str(refused.value)
        other.close()


def test_a_worker_without_the_key_lets_go_of_what_it_cannot_read(file_url, key, caplog, until):
    """It says so, leaves the run to one that has the key, and does its own runs meanwhile."""
    first = live(file_url, key)
    run = first.start(waiting, given=WORDS)
    first.signal(run, "word", "!")
    first.close()
    other = Engine(file_url, workflows=FLOWS)
    said = f"event 1 of '{run.id}' is stored encoded"
    with caplog.at_level(logging.ERROR, "playhead.engine"), other:
        mine = other.start(failing, given="clear")
        until(lambda: other.log.head(mine.id).status == "failed")
        until(lambda: said in caplog.text)
        until(lambda: other.log.head(run.id).owner is None)
    other.close()
    last = live(file_url, key)
    last.run_until_idle()
    assert last.get(run.id).result() == WORDS + "!"
    last.close()


def test_a_new_key_reads_the_old_runs(file_url, key):
    """With the new key before the old one, what was written before goes on and is read."""
    first = live(file_url, key)
    run = first.start(waiting, given=WORDS)
    first.close()
    new = Fernet.generate_key()
    rotated = live(file_url, new, key)
    rotated.signal(run.id, "word", "!")
    rotated.run_until_idle()
    assert rotated.get(run.id).result() == WORDS + "!"
    rotated.close()
    newest = raw(file_url)[-1].data.removeprefix('{"coded":"').removesuffix('"}')
    assert Fernet(new).decrypt(newest.encode())


def test_triggers_work_on_a_coded_log(file_url, tmp_path, key, monkeypatch):
    """A file starts its run once, across a restart from a copy of the fold and across a signal."""
    monkeypatch.setattr(engine.triggerstream, "SNAPSHOT_EVERY", 1)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("x")
    for _ in range(2):
        inbox = FileTrigger(
            f"{folder}/*.txt", failing, complete="rename", name="inbox",
            input=lambda firing: {"given": Path(firing.facts["path"]).name},
        )  # fmt: skip
        made = live(file_url, key, triggers=[inbox])
        made.run_until_idle()
        (run,) = made.runs(workflow="failing")
        assert run.inputs == {"given": "a.txt"}
        assert made.causes(run.id)[0].facts["path"].endswith("a.txt")
        view = made.trigger("inbox")
        assert (view.kind, view.state.fired) == ("file", 1)
        made.close()
    bare = Engine(file_url)
    with pytest.raises(StorageError, match="'trigger:inbox' is stored encoded"):
        bare.trigger("inbox")
    bare.close()
    keyless = Engine(
        file_url,
        workflows=FLOWS,
        triggers=[FileTrigger(f"{folder}/*.txt", failing, name="inbox", input=dict)],
    )
    with pytest.raises(StillCoded, match="'trigger:inbox' is stored encoded"):
        keyless.doorways.doors["inbox"].state()
    keyless.log.close()


def test_large_values_in_use_are_found_through_the_codec_only(file_url, key):
    """Sweeping days later keeps what an encoded event names; without the codec it refuses."""
    made = Engine(file_url, workflows=[failing], codec=Box(key))
    run = made.start(failing, given=WORDS)
    made.run_until_idle()
    later = clock.now_us() + 3 * REST
    assert sweep(made.log, now=later) == (0, 0)
    assert made.history(run)[2].value("output") == [WORDS] * 5000
    made.close()
    bare = Engine(file_url)
    with pytest.raises(LogError, match="none was deleted"):
        sweep(bare.log, now=later)
    bare.log.close()


def test_a_codec_that_cannot_encode_stops_the_start(file_url):
    """The run is not started in clear instead: the caller hears of it, and nothing is written."""

    class Broken:
        def encode(self, _):
            raise OSError("the key store does not answer")

        def decode(self, content):
            return content

    made = Engine(file_url, workflows=FLOWS, codec=Broken())
    with pytest.raises(StorageError, match=r"key store does not answer.*nothing was written"):
        made.start(waiting, given=WORDS)
    assert made.runs() == []
    made.close()


def test_what_is_no_codec_is_refused():
    """An object that cannot both encode and decode is refused before anything is opened."""
    with pytest.raises(DefinitionError, match=r"encode\(bytes\) and decode\(bytes\)"):
        Engine("memory://", codec=Fernet)


def test_without_a_codec_nothing_stands_before_the_log():
    """No codec and no secrets: the log is the storage itself, and nothing is looked for."""
    made = Engine("sqlite:///:memory:")
    assert type(made.log).__name__ == "SqlLog"
    assert made.repository.veil is None
