"""The contract of blobs, snapshots, verifying, counting and closing."""
# ruff: noqa: S101 - tests assert

import hashlib

import pytest

from eventstore.errors import StorageCorrupt
from eventstore.store import Log
from eventstore.testing.facts import birth, step


class KeepContract:
    """What is kept beside the events."""

    def test_blobs(self, log: Log) -> None:
        """The same bytes have one name, and come back whole; what is not there is an error."""
        content = bytes(range(256)) * 500
        name = log.put_blob(content)
        assert name == hashlib.sha256(content).hexdigest()
        assert log.put_blob(content) == name
        assert log.blob(name) == content
        assert log.blob(log.put_blob(b"")) == b""
        assert log.has_blob(name)
        assert not log.has_blob("0" * 64)
        with pytest.raises(StorageCorrupt):
            log.blob("0" * 64)

    def test_snapshots(self, log: Log) -> None:
        """The newest copy of a kind up to a version; a second at one version replaces the first."""
        assert log.snapshot("s", "fold") is None
        for version in (10, 30, 20):
            log.put_snapshot("s", version, "fold", b"%d" % version)
        log.put_snapshot("s", 40, "other", b"x")
        assert log.snapshot("s", "fold") == (30, b"30")
        assert log.snapshot("s", "fold", upto=29) == (20, b"20")
        assert log.snapshot("s", "fold", upto=9) is None
        log.put_snapshot("s", 30, "fold", b"new")
        assert log.snapshot("s", "fold") == (30, b"new")
        kept = [("s", "fold", 10), ("s", "fold", 20), ("s", "fold", 30), ("s", "other", 40)]
        assert log.snapshots(["s", "t"]) == kept
        log.put_snapshot("t", 1, "fold", b"t")
        assert log.snapshots({"s", "t"}) == [*kept, ("t", "fold", 1)]
        assert log.snapshots(["u"]) == log.snapshots([]) == []

    def test_dropping_what_is_derived_loses_nothing(self, log: Log) -> None:
        """Snapshots go; streams, keys and blobs stay."""
        birth(log, "s")
        name = log.put_blob(b"b")
        log.put_snapshot("s", 1, "fold", b"x")
        log.drop_derived()
        assert log.snapshot("s", "fold") is None
        assert len(log.read("s")) == 1
        assert log.blob(name) == b"b"

    def test_a_sound_log_has_no_faults(self, log: Log) -> None:
        """Whatever was done by the front door verifies."""
        tip = birth(log, "s", due=1)
        birth(log, "t", kind="trigger", owner="w")
        (claim,) = log.claim("w", kind="run", now=5, limit=1)
        assert claim.head.tip.version == tip.version
        step(log, "s", claim.head.tip, owner="w")
        log.put_blob(b"x")
        assert list(log.verify()) == []
        assert list(log.verify_beside()) == []
        assert list(log.verify("s")) == []
        assert list(log.verify("unknown")) == []

    def test_counters_tell_what_was_done(self, log: Log) -> None:
        """Each append counts once, with its events and the bytes of their data."""
        tip = birth(log, "s")
        step(log, "s", tip)
        assert log.counters.appends == 2
        assert log.counters.events == 2
        assert log.counters.bytes == 2 * len('{"n":1}')
        assert log.counters.commits == 2

    def test_closed_and_used_again(self, log: Log) -> None:
        """After `close` the next call opens the log again, and all is there."""
        tip = birth(log, "s")
        log.close()
        log.close()
        assert len(log.read("s")) == 1
        step(log, "s", tip)
        assert len(log.read("s")) == 2
