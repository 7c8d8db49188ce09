"""The documents pipeline in five acts: it works, is cut off, is killed, goes on, is replayed.

    make demo                       or: python examples/02_documents/demo.py
    make demo ARGS=--keep           leave the folder, with the log in it, to look into

Every promise is checked; the exit code is 1 if one was not kept. Needs no network.
"""

import argparse
import ast
import codecs
import importlib.metadata
import importlib.util
import json
import signal
import subprocess
import sys
from collections import Counter
from types import FrameType
from typing import Any

import httpx
from stage import ENDINGS, NotAsPromised, Stage, now, read_json

from playhead import PlayheadError

LEASE = 10  # seconds for which a worker that is not heard of keeps its runs; the default
FINISHED_EARLIER = ("ingest", "enrich", "outline", "keywords")


class Narrator:
    """Says what is shown, and keeps count of what was promised."""

    def __init__(self) -> None:
        self.kept = 0

    def head(self, text: str) -> None:
        """Begin an act."""
        print(f"\n{text}\n{'-' * len(text)}")

    def say(self, *lines: str) -> None:
        """Say lines."""
        print(*lines, sep="\n", flush=True)

    def check(self, promise: str, is_kept: object, found: object = "") -> None:
        """Say that a promise was kept, or stop."""
        if not is_kept:
            raise NotAsPromised(f"{promise} (found: {found})" if found != "" else promise)
        self.kept += 1
        self.say(f"  [ok] {promise}")


# Documents that every machine with this project on it has.


def metadata(package: str) -> str:
    """Give the METADATA file of an installed package: its description, for people."""
    return importlib.metadata.distribution(package).read_text("METADATA") or ""


def licence(package: str) -> str:
    """Give the licence file of an installed package."""
    files = importlib.metadata.distribution(package).files or []
    return next(f.read_text("utf-8") for f in files if "LICENSE" in f.name)


def zen() -> str:
    """Give the Zen of Python as Python ships it, in rot13; `import this` would print it."""
    spec = importlib.util.find_spec("this")
    source: str = spec.loader.get_source("this")  # type: ignore[union-attr]
    lines = ast.parse(source).body
    return str(next(ast.literal_eval(x.value) for x in lines if isinstance(x, ast.Assign)))


# The acts.


def documents_go_through(stage: Stage, narrator: Narrator) -> None:
    """Act 1: files dropped in the inbox, before and after the worker was started."""
    narrator.head("1. Documents go through")
    narrator.say(
        "Two documents are dropped into inbox/ while nothing is running, two more after",
        "`playhead serve app.py` was started. Each file starts one run of the pipeline:",
        "",
        "            +-> enrich (asks an HTTP service) -+",
        "    ingest -+-> outline, keywords -------------+-> summarize",
        "            +-> translate (unless English) ----+",
        "",
    )
    names = ("httpx.txt", "tenacity.txt", "transitions.txt", "zen.txt")
    stage.start_service()
    stage.drop("httpx.txt", metadata("httpx"))
    stage.drop("tenacity.txt", licence("tenacity"))
    stage.start_worker()
    stage.drop("transitions.txt", metadata("transitions"))
    stage.drop("zen.txt", zen())
    stage.wait_until("four runs have succeeded", lambda: stage.are_done(*names))
    for name in names:
        show_summary(stage.result(name), narrator)
    narrator.say("")
    count = len(stage.engine.runs())
    narrator.check("four files, four runs, one each", count == 4, count)
    states = {name: stage.steps(name)["translate"] for name in names}
    narrator.check(
        "translate was skipped for English, and ran for the Zen of Python, which is in rot13",
        states == {**dict.fromkeys(names, "skipped"), "zen.txt": "succeeded"}
        and stage.result("zen.txt")["begins"].startswith("The Zen of Python"),
        states,
    )
    history = stage.engine.history(stage.run_of("httpx.txt").id)
    first_end = next(
        e.version for e in history if e.type == "step.succeeded" and e.subject != "ingest"
    )
    begun = {e.subject for e in history[:first_end] if e.type == "step.started"}
    narrator.check(
        "enrich, outline and keywords were begun side by side",
        begun >= {"enrich", "outline", "keywords"},
        begun,
    )
    keys = Counter(call["key"] for call in stage.calls("/entities"))
    narrator.check(
        "the service was asked once for each", sorted(keys.values()) == [1] * 4, keys
    )


def the_service_fails(stage: Stage, narrator: Narrator) -> None:
    """Act 2: retries, breaker, fallback, parked runs, a probe, and on."""
    narrator.head("2. The service fails, and comes back")
    narrator.say("The service is told to answer 503, and a document arrives.", "")
    stage.tell(entities="fail")
    stage.drop("msgspec.txt", metadata("msgspec"))
    breaker = stage.engine.breaker("enrichment-api")
    stage.wait_until("the breaker is open", lambda: breaker.state == "open")
    moves = [event.type for event in breaker.history()][:4]
    narrator.check(
        "the third failure in a row opened the breaker",
        moves == [*["breaker.failed"] * 3, "breaker.opened"],
        moves,
    )
    narrator.say(
        "", "The service dies altogether. The breaker lets a probe through now and then.", ""
    )
    stage.kill_service()
    stage.wait_until("the fallback has answered", lambda: stage.are_done("msgspec.txt"))
    history = stage.engine.history(stage.run_of("msgspec.txt").id)
    show_steps(history, "enrich", narrator)
    narrator.say("")
    failed = [e.data["attempt"] for e in history if e.type == "step.failed"]
    narrator.check(
        "while it was open, the step waited behind it and nobody was called",
        "step.parked" in [event.type for event in history],
    )
    narrator.check(
        "when five attempts were spent, the offline fallback answered and the run went on",
        failed == [1, 2, 3, 4, 5] and stage.result("msgspec.txt")["names_by"] == "fallback",
        failed,
    )
    narrator.say(
        "",
        "Two more documents arrive while the breaker is open.",
        "Then the service is started again.",
        "",
    )
    late = ("sqlalchemy.txt", "watchdog.txt")
    for name in late:
        stage.drop(name, metadata(name.partition(".")[0]))
    stage.wait_until(
        "both wait behind the breaker",
        lambda: all(stage.steps(name).get("enrich") == "parked" for name in late),
    )
    stage.start_service()
    stage.wait_until("the parked runs have succeeded", lambda: stage.are_done(*late))
    show_moves(breaker.history(), narrator)
    narrator.say("")
    by = {name: stage.result(name)["names_by"] for name in late}
    narrator.check(
        "a probe found the service back, and the breaker closed", breaker.state == "closed"
    )
    narrator.check("the parked runs went on by themselves", set(by.values()) == {"service"}, by)


def the_worker_is_killed(stage: Stage, narrator: Narrator) -> str:
    """Act 3: kill -9 in mid-run; give the name of the document."""
    narrator.head("3. The worker is killed with kill -9 in the middle of a run")
    narrator.say(
        "A licence in rot13 arrives; the service is told to hang when it is to translate.", ""
    )
    name = "licence.txt"
    stage.tell(translate="hang")
    stage.drop(name, codecs.encode(licence("httpx"), "rot13"))
    stage.wait_until(
        "translate hangs and the other branches are done",
        lambda: (
            stage.calls("/translate")
            and all(stage.steps(name).get(step) == "succeeded" for step in FINISHED_EARLIER)
        ),
    )
    run_id = stage.run_of(name).id
    stage.kill_worker()
    tape = stage.engine.history(run_id)
    narrator.say(
        f"  kill -9 after event {len(tape)}.",
        f"  Done by then: {', '.join(FINISHED_EARLIER)}. In flight: translate.",
    )
    stage.tell(translate="ok")
    stage.start_worker()
    took = stage.wait_until(
        "another worker takes the run up", lambda: len(stage.engine.history(run_id)) > len(tape)
    )
    narrator.say(
        f"  Another worker is started; {took:.1f} s later it has taken the run up,"
        " the start of its process included.",
    )
    stage.wait_until("the run has succeeded", lambda: stage.are_done(name))
    narrator.say("")
    after = stage.engine.history(run_id)
    narrator.check(
        f"that was at once: it did not wait for the {LEASE} s lease of the dead one to run out",
        took < LEASE * 0.8,
        took,
    )
    narrator.check("nothing that was on the tape has changed", after[: len(tape)] == tape)
    begun = Counter(e.subject for e in after if e.type == "step.started")
    narrator.check(
        "by the log: no finished step was repeated, only translate was begun twice",
        begun == {**dict.fromkeys((*FINISHED_EARLIER, "summarize"), 1), "translate": 2},
        dict(begun),
    )
    entities = [c["key"] for c in stage.calls("/entities") if c["key"].startswith(run_id)]
    translated = [c["key"] for c in stage.calls("/translate") if c["key"].startswith(run_id)]
    narrator.check(
        "by the service's own count: it was asked for entities once",
        len(entities) == 1,
        entities,
    )
    narrator.check(
        "and twice for the translation, with the same Idempotency-Key, so that it can tell",
        len(translated) == 2 and len(set(translated)) == 1,
        translated,
    )
    return name


def the_run_is_replayed(stage: Stage, narrator: Narrator, name: str) -> None:
    """Act 4: the playhead walks over the tape; nothing is called again."""
    narrator.head("4. That run, replayed event by event")
    narrator.say(
        "The playhead stands on each event in turn; to the right the run as it was then. It only",
        "reads: no step is called. `playhead replay RUN` walks like this, forward and back.",
        "",
    )
    asked = len(stage.calls("/entities")) + len(stage.calls("/translate"))
    head = stage.engine.playhead(stage.run_of(name).id).seek(0)
    began = stage.engine.get(head.run_id).started_at
    while head.forward() and (event := head.event):
        passed = (event.at - began).total_seconds()
        narrator.say(
            f"{event.version:4} {passed:7.3f} s  {event.type:<15}{event.subject:<10}"
            f" {told_of(head.state)}"
        )
    narrator.say("")
    narrator.check("the tape ends where the run ended", head.state.status == "succeeded")
    lost = head.seek_where(type="step.lost") and head.event
    narrator.check(
        "the kill is on the tape: translate was lost with its worker",
        lost and lost.subject == "translate",
    )
    again = len(stage.calls("/entities")) + len(stage.calls("/translate"))
    narrator.check("the service was not asked again", again == asked)


def checkpoints_are_exported(stage: Stage, narrator: Narrator, name: str) -> None:
    """Act 5: the output of each stage as a JSON file, by the command line."""
    narrator.head("5. Its checkpoints as JSON files")
    run_id = stage.run_of(name).id
    folder = stage.folder / "checkpoints"
    narrator.say("  $ playhead show RUN --export checkpoints/")
    stage.playhead("show", run_id, "--export", str(folder))
    files = sorted(folder.iterdir())
    for path in files:
        narrator.say(f"  {path.name:<20} {path.stat().st_size:>6} bytes")
    narrator.say("")
    stages = [read_json(path) for path in files]
    narrator.check(
        "one file for each finished stage",
        {s["step"] for s in stages} == {*FINISHED_EARLIER, "translate", "summarize"},
        [path.name for path in files],
    )
    narrator.check(
        "the last one is the run's result", stages[-1]["output"] == stage.result(name)
    )
    shown = json.loads(stage.playhead("show", run_id, "--json"))
    narrator.check(
        "`playhead show RUN --json` says the same",
        all(shown["steps"][s["step"]]["output"] == s["output"] for s in stages),
    )
    verdict = stage.playhead("verify").strip()
    narrator.check(f"`playhead verify`: {verdict}", verdict.startswith("ok"))


# What is shown.


def show_summary(summary: dict[str, Any], narrator: Narrator) -> None:
    """Show the result of one run."""
    names = ", ".join(summary["names"][:3]) or "no names"
    keywords = ", ".join(summary["keywords"][:3])
    narrator.say(
        f"  {summary['name']:<16}{summary['words']:>6} words   about {keywords};"
        f" names {names}{' (as in the original)' if summary['translated'] else ''}"
    )


def show_steps(history: list[Any], subject: str, narrator: Narrator) -> None:
    """Show what happened to one step."""
    for event in history:
        if event.subject == subject and event.type != "step.started":
            error = event.data.get("error", {}).get("type", "")
            attempt = f"attempt {event.data['attempt']}" if "attempt" in event.data else ""
            by = "by the fallback" if event.data.get("fallback") else ""
            narrator.say(f"  {event.type:<15} {attempt:<10} {error}{by}".rstrip())


def show_moves(history: list[Any], narrator: Narrator) -> None:
    """Show a breaker's moves on one line."""
    moves = [e.dest for e in history if e.source != e.dest]
    narrator.say("  the breaker: closed -> " + " -> ".join(moves))


def told_of(state: Any) -> str:
    """Say in a few words how a run stood."""
    by_state: dict[str, list[str]] = {}
    for name, step in state.steps.items():
        by_state.setdefault(step.state, []).append(name)
    by_state.pop("blocked", None)
    done = len(by_state.pop("succeeded", ())) + len(by_state.pop("skipped", ()))
    told = [f"{word}: {', '.join(names)}" for word, names in by_state.items()]
    return f"{state.status:<10}{done} done  {'; '.join(told)}".rstrip()


def main() -> int:
    """Play all acts; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave the folder to look into")
    options = parser.parse_args()
    for number in ENDINGS:
        signal.signal(number, interrupt)
    began = now()
    narrator = Narrator()
    stage = Stage()
    try:
        with stage:
            play(stage, narrator)
        narrator.say(f"\nAll {narrator.kept} promises kept in {now() - began:.0f} s.")
    except (
        NotAsPromised,
        PlayheadError,
        httpx.HTTPError,
        subprocess.SubprocessError,
    ) as broken:
        narrator.say(
            f"\nNOT AS PROMISED: {broken or type(broken).__name__}",
            f"\nThe service and the worker said last:\n{stage.last_words()}",
        )
        return 1
    except KeyboardInterrupt:
        narrator.say("\nInterrupted. The service and the worker are stopped.")
        return 130
    finally:
        if options.keep:
            narrator.say(f"The log is in {stage.folder}; try: playhead runs --url {stage.url}")
        else:
            stage.sweep()
    return 0


def play(stage: Stage, narrator: Narrator) -> None:
    """Play the acts in order."""
    documents_go_through(stage, narrator)
    the_service_fails(stage, narrator)
    name = the_worker_is_killed(stage, narrator)
    the_run_is_replayed(stage, narrator, name)
    checkpoints_are_exported(stage, narrator, name)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Let SIGTERM do what Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
