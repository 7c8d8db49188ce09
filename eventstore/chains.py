"""What a chain of hashes tells about a stream: is it what was written?"""

from collections.abc import Iterable, Iterator

from eventstore.event import Event, NewEvent, Tip, chain


def faults_of(stream: str, events: Iterable[Event], tip: Tip) -> Iterator[str]:
    """Give a sentence for each fault in a stream's events; its row stands at `tip`.

    *Pure.* After a fault the chain goes on from what is stored, so that each is told once.
    """
    before, number = b"", 0
    for event in events:
        number += 1
        if event.version != number:
            missing = (
                f"{number}"
                if event.version == number + 1
                else f"{number} to {event.version - 1}"
            )
            yield f"stream {stream!r}: event {missing} is missing"
            number = event.version
        new = NewEvent(
            event.type, event.subject, event.source, event.dest, event.data, event.at, event.cause,
            event.type_version,
        )  # fmt: skip
        expected = chain(before, stream, number, event.epoch, new)
        if expected != event.hash:
            yield (
                f"stream {stream!r}: event {number} (position {event.position}, {event.type}) does"
                " not fit its hash; it or the one before it was changed"
            )
        before = event.hash
    if number != tip.version:
        yield (
            f"stream {stream!r}: its row stands at version {tip.version}, its last event is"
            f" {number}"
        )
    elif before != tip.hash:
        yield f"stream {stream!r}: its row bears another hash than its last event"
