"""`python -m tests.soak`: daemons killed at random on one log, which is judged afterwards."""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from eventstore import clock
from tests.servers import fixtures
from tests.servers.binaries import Missing
from tests.soak.beside import command
from tests.soak.breach import Breach
from tests.soak.options import Options
from tests.soak.playing import play

KINDS = ("sqlite", "postgres")
SHOWN = 5  # breaches of each promise


def main(words: list[str] | None = None) -> int:
    """Play the rounds that are asked for.

    Returns:
        0: every promise was kept. 1: one was broken. 2: no round could be played.
    """
    asked = _parser().parse_args(words)
    codes = []
    for kind in asked.kinds or KINDS:
        for seed in range(asked.seed, asked.seed + asked.rounds):
            try:
                codes.append(_round(kind, seed, asked))
            except Missing as missing:
                print(f"{kind}: left out, {missing}", flush=True)
                break
    return max(codes, default=2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("kinds", nargs="*", type=_kind, help="sqlite, postgres; both")
    parser.add_argument(
        "--seed", type=int, default=int(clock.chance() * 1_000_000), help="of the first round"
    )
    parser.add_argument("--rounds", type=int, default=1, help="each with the next seed; 1")
    parser.add_argument("--seconds", type=float, default=12.0, help="of chaos; 12")
    parser.add_argument("--daemons", type=int, default=3, help="at once; 3")
    parser.add_argument("--lease", type=float, default=1.5, help="seconds; 1.5")
    parser.add_argument("--threads", type=int, default=8, help="of each daemon; 8")
    parser.add_argument("--prune", action="store_true", help="take old events away meanwhile")
    return parser


def _kind(word: str) -> str:
    if word not in KINDS:
        raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(KINDS)}")
    return word


def _round(kind: str, seed: int, asked: argparse.Namespace) -> int:
    """Play a round in a folder that is kept if a promise was broken; give the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="playhead-soak-"))
    is_kept = True
    try:
        with _log(kind, folder) as url:
            played = play(
                Options(
                    kind=kind,
                    url=url,
                    folder=folder,
                    seed=seed,
                    seconds=asked.seconds,
                    daemons=asked.daemons,
                    lease=asked.lease,
                    threads=asked.threads,
                    is_pruning=asked.prune,
                )
            )
            if played.breaches and kind == "postgres":
                command("export", "--out", str(folder / "log.jsonl"), url=url)
        is_kept = bool(played.breaches)
    except Missing:
        is_kept = False
        raise
    finally:
        if is_kept:
            print(f"{kind} seed {seed}: see {folder}", flush=True)
        else:
            shutil.rmtree(folder)
    print(played.line, flush=True)
    _tell(played.breaches, folder)
    return int(is_kept)


def _tell(breaches: list[Breach], folder: Path) -> None:
    """Print the first breaches of each promise; all are written down in the folder."""
    if breaches:
        (folder / "breaches.txt").write_text("\n".join(map(str, breaches)))
    told: Counter[str] = Counter()
    for breach in breaches:
        told[breach.promise] += 1
        if told[breach.promise] <= SHOWN:
            print(breach, flush=True)
    for promise, count in told.items():
        if count > SHOWN:
            print(f"BROKEN: {promise}: {count - SHOWN} more, see {folder}/breaches.txt")


@contextlib.contextmanager
def _log(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'log.db'}"
        return
    server = fixtures.find_server()
    try:
        database = server.create()
        try:
            yield server.url(database)
        finally:
            server.drop(database)
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main())
