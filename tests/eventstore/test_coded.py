"""A log with a codec: the same promise, nothing of the values on the disk, and clear refusals."""

import inspect

import pytest
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from eventstore import NEW, Append, Log, NewEvent, Row, Write, open_log
from eventstore.coded import CodedLog, clear_copy, clear_data, clear_label, is_coded
from eventstore.errors import StillCoded, StorageError
from eventstore.testing import LogContract
from eventstore.wrapped import WrappedLog, bare

WORDS = "plain words that nobody is to see"


class Box:
    """Fernet as a codec; the first of several keys encodes, each of them decodes."""

    def __init__(self, *keys):
        self.keys = MultiFernet([Fernet(key) for key in keys])

    def encode(self, content):
        return self.keys.encrypt(content)

    def decode(self, content):
        return self.keys.decrypt(content)


class Flipped:
    """Gives bytes that are no text."""

    def encode(self, content):
        return bytes(byte ^ 0xFF for byte in content)

    decode = encode


@pytest.fixture
def key():
    return Fernet.generate_key()


class TestCodedLog(LogContract):
    """The contract with a codec before a SQLite file.

    Left out is what holds of the stored text itself: hashes, sizes and the names of blobs.
    """

    test_tip_follows_the_events = None
    test_threads_share_the_log = None
    test_counters_tell_what_was_done = None
    test_blobs = None
    test_a_large_value_goes_when_it_was_put_long_ago = None

    @pytest.fixture
    def log(self, file_log, key):
        return CodedLog(file_log, Box(key))


def write(log, words=WORDS, stream="s", tip=NEW):
    """Append one event that says some words in its data and in its row."""
    event = NewEvent("step.succeeded", "a", "running", "done", f'{{"x":"{words}"}}', 5, None)
    row = Row(status="running", label=f'{{"error":"{words}"}}')
    return log.append(
        Append(f"{stream}{tip.version}", (Write(stream, "run", tip, (event,), row),))
    )


def methods(kind):
    """Give the signatures of what a class promises, by name."""
    return {
        name: str(inspect.signature(found))
        for name, found in vars(kind).items()
        if inspect.isfunction(found) and not name.startswith("_")
    }


def test_a_log_before_a_log_hands_on_all_of_the_promise():
    """Every method of the promise stands in the wrapped log with the same parameters."""
    promised, kept = methods(Log), methods(WrappedLog)
    assert {name: kept.get(name) for name in promised} == promised


def test_what_the_codec_wraps_is_what_carries_values():
    """Of the promise, all that gives or takes events, rows, blobs or copies is coded."""
    carries = ("Event", "Head", "Claim", "Append", "bytes")
    promised = {
        name for name, told in methods(Log).items() if any(word in told for word in carries)
    }
    promised.discard("take_in")  # what was exported as it is stored comes in as it is
    assert promised <= methods(CodedLog).keys()


@pytest.mark.parametrize(
    "codec", [Box(Fernet.generate_key()), Flipped()], ids=["text", "bytes"]
)
def test_values_come_back_as_they_were(log, codec):
    """Events, rows, blobs and copies are read with the codec as they were written."""
    coded = CodedLog(log, codec)
    write(coded)
    (event,) = coded.read("s")
    assert event.data == f'{{"x":"{WORDS}"}}'
    assert coded.head("s").label == f'{{"error":"{WORDS}"}}'
    assert coded.blob(coded.put_blob(WORDS.encode())) == WORDS.encode()
    coded.put_snapshot("s", 1, "fold", WORDS.encode())
    assert coded.snapshot("s", "fold") == (1, WORDS.encode())
    assert (event.type, event.subject, event.dest, event.at) == (
        "step.succeeded",
        "a",
        "done",
        5,
    )


def test_no_value_is_on_the_disk(file_log, path, key):
    """The words stand in no file of the database, neither as they are nor before a checkpoint."""
    for log, is_there in ((CodedLog(file_log, Box(key)), False), (file_log, True)):
        write(log, stream=f"s{is_there}")
        log.put_blob(WORDS.encode())
        log.put_snapshot("s", 1, "fold", WORDS.encode())
        files = [file.read_bytes() for file in path.parent.glob("log.db*") if file.is_file()]
        assert len(files) >= 2
        assert any(WORDS.encode() in content for content in files) is is_there


def test_the_chain_is_verified_without_the_key(log, key):
    """The hash is over what is stored: `verify` finds nothing wrong with no codec at hand."""
    coded = CodedLog(log, Box(key))
    tips = write(coded)
    write(coded, tip=tips[0])
    assert list(log.verify()) == list(coded.verify()) == []
    assert log.read("s")[1].hash == coded.read("s")[1].hash == coded.head("s").tip.hash


def test_a_log_may_hold_both(log, key):
    """What was written clear stays readable when a codec is switched on, and stays as it was."""
    (tip,) = write(log, "old")
    name = log.put_blob(b"old")
    log.put_snapshot("s", 1, "fold", b"old")
    coded = CodedLog(log, Box(key))
    write(coded, "new", tip=tip)
    assert [event.data for event in coded.read("s")] == ['{"x":"old"}', '{"x":"new"}']
    assert coded.blob(name) == b"old"
    assert coded.snapshot("s", "fold") == (1, b"old")
    assert [is_coded(event.data) for event in log.read("s")] == [False, True]


def test_a_changed_key_reads_both(log, key):
    """With the new key first and the old one behind it, old and new events are read."""
    new = Fernet.generate_key()
    (tip,) = write(CodedLog(log, Box(key)), "old")
    rotated = CodedLog(log, Box(new, key))
    write(rotated, "new", tip=tip)
    assert [event.data for event in rotated.read("s")] == ['{"x":"old"}', '{"x":"new"}']
    assert CodedLog(log, Box(new)).read("s", after=1)[0].data == '{"x":"new"}'


def test_the_wrong_key_is_told_by_stream_and_version(log, key):
    """Every way to read says which event cannot be decoded and what to do; none gives None."""
    coded = CodedLog(log, Box(key))
    write(coded)
    blob = coded.put_blob(b"x")
    coded.put_snapshot("s", 1, "fold", b"x")
    other = CodedLog(log, Box(Fernet.generate_key()))
    ways = [
        lambda: other.read("s"), lambda: other.load("s"), lambda: other.read_version("s", [1]),
        other.read_all, lambda: other.head("s"), lambda: other.heads(kind="run"),
        lambda: other.blob(blob), lambda: other.snapshot("s", "fold"),
        lambda: other.read_types(["step.succeeded"], name="", after=0, upto=9, limit=9),
    ]  # fmt: skip
    for way in ways:
        with pytest.raises(StillCoded, match="give the codec the key that wrote it"):
            way()
    with pytest.raises(StillCoded, match=r"event 1 of 's' is stored encoded") as refused:
        other.read("s")
    assert (refused.value.stream, refused.value.version) == ("s", 1)
    assert isinstance(refused.value.__cause__, InvalidToken)


def test_no_codec_is_told_by_stream_and_version(log, key):
    """Coded events, rows and copies read from the log itself are refused with what to do."""
    write(CodedLog(log, Box(key)))
    CodedLog(log, Box(key)).put_snapshot("s", 1, "fold", b"x")
    with pytest.raises(StillCoded, match=r"event 1 of 's' .*with its codec.*--app") as refused:
        clear_data(log.read("s")[0])
    assert refused.value.version == 1
    with pytest.raises(StillCoded, match="'s' is stored encoded"):
        clear_label(log.head("s"))
    with pytest.raises(StillCoded, match="'s' is stored encoded"):
        clear_copy("s", log.snapshot("s", "fold"))
    write(log, "clear", "t")
    assert clear_data(log.read("t")[0]) == '{"x":"clear"}'
    assert clear_label(log.head("t")) == '{"error":"clear"}'
    assert clear_copy("t", (1, b"x")) == (1, b"x")


class Broken:
    """Cannot encode."""

    def __init__(self, answer):
        self.answer = answer

    def encode(self, _):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    decode = encode


@pytest.mark.parametrize(
    ("answer", "said"),
    [(ValueError("no key"), "could not encode it .ValueError: no key"), ("text", "not str")],
)
def test_a_codec_that_fails_writes_nothing(log, answer, said):
    """If it cannot be encoded it is not written clear: the append is refused as a whole."""
    coded = CodedLog(log, Broken(answer))
    for attempt in (lambda: write(coded), lambda: coded.put_blob(b"x")):
        with pytest.raises(StorageError, match=f"{said}.*nothing was written"):
            attempt()
    assert log.read_all() == []
    assert log.head("s") is None


def test_a_claim_is_given_although_its_row_cannot_be_decoded(log, key):
    """A wrong key refuses at the events, where the run is named, not among all claims."""
    row = Row(status="running", due=1, label='{"state":"x"}')
    event = NewEvent("t", "a", "b", "c", "{}", 1)
    CodedLog(log, Box(key)).append(Append("a", (Write("s", "run", NEW, (event,), row),)))
    other = CodedLog(log, Box(Fernet.generate_key()))
    (claim,) = other.claim("w", kind="run", now=5, limit=5)
    assert claim.head.id == "s"
    with pytest.raises(StillCoded):
        other.load("s")


def test_the_bare_log_is_found_behind_all(key):
    """`bare` gives the log that keeps it all, whatever stands before it; a plain one itself."""
    log = open_log("memory://")
    assert bare(CodedLog(CodedLog(log, Flipped()), Box(key))) is log
    assert bare(log) is log
