"""Record the golden histories of a release: `python tests/histories/record.py VERSION`.

Run once for each released shape of the log, never again: what is here is replayed for ever.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from freezegun import freeze_time
from tenacity import retry, stop_after_attempt, wait_fixed

from engine.app import Engine
from engine.core import define
from playhead import CircuitBreaker, RunFailed, Signal, Timer, Workflow, step


def pipeline() -> Workflow:
    """A pipeline with a retry, a breaker, a fallback, a `when`, a signal and a timer."""
    tries: list[int] = []

    @step
    def read(path: str) -> dict[str, Any]:
        return {"path": path, "words": 3}

    @step(breaker=CircuitBreaker("api", failure_threshold=2, reset_timeout=60))
    @retry(wait=wait_fixed(5), stop=stop_after_attempt(2))
    def ask(read: dict[str, Any]) -> str:
        tries.append(1)
        raise ConnectionError("down")

    @ask.fallback
    def ask_offline(read: dict[str, Any]) -> str:
        return "offline"

    @step(when=lambda read: read["words"] > 100)
    def shorten(read: dict[str, Any]) -> str:
        return "short"

    @step(after=["pause"])
    def finish(ask: str, go: dict[str, Any], shorten: str | None = None) -> list[Any]:
        return [ask, go, shorten]

    nodes = [
        read,
        ask,
        shorten,
        Signal("go", timeout=timedelta(days=2)),
        Timer("pause", 60),
        finish,
    ]
    return Workflow("golden-pipeline", steps=nodes)


def machine() -> Workflow:
    """A machine with a guard, a timeout and a failing end."""

    @step
    def draft() -> str:
        return "text"

    def again(draft: str) -> bool:
        return draft == "other"

    return Workflow(
        "golden-machine",
        steps=[draft],
        states=["draft", {"name": "review", "timeout": 3600, "on_timeout": "expire"}, "done_well",
                {"name": "rejected", "outcome": "failed"}],
        transitions=[
            ["done", "draft", "review"],
            {"trigger": "revise", "source": "review", "dest": "draft", "conditions": again},
            ["approve", "review", "done_well"],
            ["expire", "review", "rejected"],
        ],
        initial="draft",
    )  # fmt: skip


def record() -> list[dict[str, Any]]:
    """Give the runs: definition, events, and what they fold into."""
    out = []
    with freeze_time(datetime(2026, 1, 1, tzinfo=UTC)) as frozen:
        engine = Engine("sqlite:///:memory:", workflows=[pipeline(), machine()])
        one = engine.start("golden-pipeline", path="a.txt", key="a", tags={"who": "ann"})
        two, three = engine.start("golden-machine"), engine.start("golden-machine")
        engine.run_until_idle()
        engine.signal(one, "go", {"by": "ann"})
        engine.signal(two, "revise")
        engine.run_until_idle()
        engine.signal(two, "approve", {"by": "bob"}, key="k")
        for _ in range(6):
            frozen.tick(timedelta(minutes=20))
            engine.run_until_idle()
        for run in (one, two, three):
            events = engine.log.read(run.id)
            plan = engine.peek(run.id).plan
            out.append(
                {
                    "definition": json.loads(define.encode(plan.definition)),
                    "events": [
                        [
                            e.version,
                            e.type,
                            e.type_version,
                            e.subject,
                            e.source,
                            e.dest,
                            e.data,
                            e.at,
                        ]
                        for e in events
                    ],
                    "ends": {"status": run.status, "state": run.state, "result": result(run)},
                }
            )
    return out


def result(run: Any) -> Any:
    """Give a run's result, None if it failed."""
    try:
        return run.result(timeout=20)
    except RunFailed:
        return None


if __name__ == "__main__":
    target = Path(__file__).with_name(f"{sys.argv[1]}.json")
    if target.exists():
        raise SystemExit(f"{target.name} is there already: a recorded history never changes")
    target.write_text(json.dumps(record(), indent=1, ensure_ascii=False) + "\n")
