"""A log that keeps keys, tags and names without secrets, and finds them by what they were."""

from collections.abc import Collection, Iterable

import msgspec

from engine.scrub import watch_loggers
from engine.secrets import Secrets
from engine.veil import Veil, veiled_tags
from eventstore import Append, Head, InboxKey, Log, Tip, WorkerRow, Write
from eventstore.coded import Codec, CodedLog
from eventstore.wrapped import WrappedLog


class VeiledLog(WrappedLog):
    """A log before another one; events are veiled before they are folded, not here.

    Args:
        inner: where it is all kept.
        veil: takes the secrets out.
    """

    def __init__(self, inner: Log, veil: Veil) -> None:
        super().__init__(inner)
        self.veil = veil

    def append(self, append: Append) -> list[Tip]:
        """Write all of it, its keys and headlines veiled."""
        inbox: list[InboxKey] = []
        changed = set[InboxKey]()
        for one in append.inbox:
            kept = InboxKey(one.source, self.veil.text(one.key), one.stream)
            if kept.key != one.key:
                changed.add(kept)
            if kept not in changed or kept not in inbox:  # two that are one by now count once
                inbox.append(kept)
        writes = tuple(self._write(write) for write in append.writes)
        return self.inner.append(Append(append.id, writes, tuple(inbox)))

    def _write(self, write: Write) -> Write:
        line = write.headline
        if line is None:
            return write
        key = None if line.key is None else self.veil.text(line.key)
        line = msgspec.structs.replace(line, key=key, tags=veiled_tags(self.veil, line.tags))
        return msgspec.structs.replace(write, headline=line)

    def find(self, source: str, key: str) -> str | None:
        """Give the stream that an inbox key counts for, or None."""
        return self.inner.find(source, self.veil.text(key))

    def find_all(self, source: str, keys: Collection[str]) -> dict[str, str]:
        """Give the keys among these that count, each with its stream."""
        kept = {key: self.veil.text(key) for key in keys}
        found = self.inner.find_all(source, set(kept.values()))
        return {key: found[veiled] for key, veiled in kept.items() if veiled in found}

    def heads(
        self, *, kind: str, name: str | None = None, status: Collection[str] = (),
        key: str | None = None, tags: dict[str, str] | None = None, since: int | None = None,
        limit: int | None = None,
    ) -> list[Head]:  # fmt: skip
        """Give rows, last created first."""
        return self.inner.heads(
            kind=kind, name=name, status=status, since=since, limit=limit,
            key=None if key is None else self.veil.text(key),
            tags=None if tags is None else veiled_tags(self.veil, tags),
        )  # fmt: skip

    def enter(self, worker: WorkerRow) -> None:
        """Register a worker and take its lock."""
        self.inner.enter(msgspec.structs.replace(worker, name=self.veil.text(worker.name)))


def guarded(
    log: Log, codec: Codec | None, secrets: Secrets | None, workflows: Iterable[str]
) -> Log:
    """Give a log with what was asked to stand before it; with nothing asked, the log itself.

    Args:
        log: where it is all kept.
        codec: encodes what is stored.
        secrets: what is never written, by loggers neither.
        workflows: names whose steps have loggers.

    Raises:
        DefinitionError: a secret that is absent, or too short.
    """
    kept: Log = log if codec is None else CodedLog(log, codec)
    if secrets is None:
        return kept
    veil = Veil(secrets)
    watch_loggers(veil, workflows)
    return VeiledLog(kept, veil)


def veil_of(log: Log) -> Veil | None:
    """Give the veil of an engine's log, None if it has no secrets. *Pure.*"""
    return log.veil if isinstance(log, VeiledLog) else None
