"""Gathering: from a log and a folder to the record that the judge reads."""

from collections import defaultdict
from typing import Any

from tests.soak.options import Options
from tests.soak.record import Life, Record, Told


def gather(engine: Any, options: Options, **known: Any) -> Record:
    """Give the record of a round whose daemons have ended. *Reads the log.*

    Args:
        known: what the round itself has seen, by the names of the record's fields.
    """
    streams: dict[str, list[Told]] = defaultdict(list)
    positions = []
    for event in engine.feed(follow=False):
        positions.append(event.position)
        told = Told(
            version=event.version,
            type=event.type,
            subject=event.subject,
            data=event.data,
            position=event.position,
            at=f"{event.at:%H:%M:%S.%f}",
        )
        streams[event.stream].append(told)
    lives = [
        Life(
            id=head.id,
            workflow=head.name,
            status=head.status,
            key=head.key or "",
            events=tuple(streams[head.id]),
        )
        for head in engine.log.heads(kind="run")
    ]
    done = options.folder / "done"
    return Record(
        lives=tuple(lives),
        positions=tuple(positions),
        verified=tuple(str(fault) for fault in engine.verify(deep=True).faults),
        done=tuple(sorted(path.name for path in done.iterdir())) if done.exists() else (),
        said={path.name: path.read_text() for path in sorted(options.folder.glob("*.said"))},
        is_pruned=options.is_pruning,
        **known,
    )
