"""A text that a person approves: a state machine with a signal, a loop and a timeout of two days.

python examples/03_approval/approval.py     plays three lives of it, the clock moved by freezegun
playhead graph approval.py:publish          draws it

The states and transitions are those of the `transitions` library; the machine itself lives in the
log, so a review may take two days and any number of restarts.
"""

from datetime import timedelta

from freezegun import freeze_time

from playhead import Context, Engine, Run, SignalRefused, Workflow, step

PATIENCE = timedelta(days=2)


@step
def draft(topic: str, context: Context, draft: str = "", revise: str = "") -> str:
    """Write; from the second visit on, the last draft and the reviewer's wish are there."""
    if not draft:
        return f"{topic}: a first draft"
    return f"{topic}: draft {context.visit}, {revise}"


@step
def release(draft: str) -> str:
    """Publish what was approved."""
    return f"published: {draft}"


def may_revise(context: Context) -> bool:
    """Allow two revisions."""
    return context.visits("draft") < 3


publish = Workflow(
    "publish",
    steps=[draft, release],
    states=[
        "draft",
        {"name": "review", "timeout": PATIENCE, "on_timeout": "expire"},
        "release",
        "published",
        {"name": "rejected", "outcome": "failed"},
    ],
    transitions=[
        ["done", "draft", "review"],
        {"trigger": "revise", "source": "review", "dest": "draft", "conditions": may_revise},
        ["revise", "review", "rejected"],  # taken when `may_revise` says no
        ["approve", "review", "release"],
        ["expire", "review", "rejected"],  # the timeout
        ["done", "release", "published"],
    ],
    initial="draft",
)
engine = Engine("sqlite:///:memory:", workflows=[publish])


def tell(run: Run) -> None:
    """Print the way a run took through its states."""
    moves = [event for event in engine.history(run) if event.type == "machine.moved"]
    print(f"  {run.status}: " + " ".join(f"-{m.subject}-> {m.dest}" for m in moves))


def main() -> None:
    """Play three lives."""
    with freeze_time("2026-01-01 09:00") as clock:
        print("Approved after one revision:")
        run = engine.start(publish, topic="tapes")
        engine.run_until_idle()
        engine.signal(run, "revise", "shorter, please")
        engine.run_until_idle()
        engine.signal(run, "approve")
        engine.run_until_idle()
        tell(run)
        print(f"  {run.result(timeout=0)}")

        print("Revised once too often:")
        run = engine.start(publish, topic="tapes")
        engine.run_until_idle()
        for _ in range(3):
            engine.signal(run, "revise", "again")
            engine.run_until_idle()
        tell(run)

        print("Nobody answers:")
        run = engine.start(publish, topic="tapes")
        engine.run_until_idle()
        print(f"  {run.status} in {run.state} until {engine.next_due():%d %B %H:%M}")
        try:
            engine.signal(run, "release")
        except SignalRefused as refused:
            print(f"  a signal that the state does not take: {refused.reason}")
        clock.tick(PATIENCE)
        engine.run_until_idle()
        tell(run)


if __name__ == "__main__":
    main()
