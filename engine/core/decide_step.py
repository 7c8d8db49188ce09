"""What an attempt's outcome means: recorded, judged by its breaker, tried again, or given up."""
# ruff: noqa: ARG001 - every rule has the same shape

from engine.core import breaker as breakers
from engine.core import commands as c
from engine.core.advance import start_step
from engine.core.events import (
    ErrorDoc,
    Fact,
    RunSteered,
    StepCancelled,
    StepFailed,
    StepLost,
    StepSkipped,
    StepSucceeded,
)
from engine.core.facts import Facts
from engine.core.plan import Plan
from engine.core.run import Run, StepState, attempt_id

SUSPECT_AFTER = 2  # losses by death; the next taker isolates the step
QUARANTINE_AFTER = 3  # deaths as a suspect


def _attempt(run: Run, command: c.Succeed | c.Fail | c.Cease | c.Lose) -> StepState | None:
    """Give the step if just this attempt is in flight."""
    step = run.steps.get(command.step)
    if step is None or step.state != "running" or run.is_ended:
        return None
    if step.visit != command.visit or step.attempt != command.attempt:
        return None
    return step


def _judge(
    run: Run, plan: Plan, name: str, step: StepState, facts: Facts, *, ok: bool
) -> list[Fact]:
    if step.breaker is None or step.fallback or step.refused:
        return []
    breaker = facts.breakers[step.breaker]
    by = attempt_id(run, name, step)
    return breakers.outcome(
        breaker,
        facts.specs[step.breaker],
        facts.now,
        generation=step.generation,
        ok=ok,
        by=by,
    )


def _free(run: Run, name: str, step: StepState, facts: Facts) -> list[Fact]:
    """Free a probe's place: its attempt ended without an outcome."""
    if step.breaker is None or not step.probe:
        return []
    return breakers.uncounted(facts.breakers[step.breaker], by=attempt_id(run, name, step))


def succeed(run: Run, plan: Plan, command: c.Succeed, facts: Facts) -> list[Fact]:
    """Record a result and judge it for the breaker."""
    step = _attempt(run, command)
    if step is None:
        return []
    data = StepSucceeded(
        attempt=step.attempt,
        output=command.value.raw,
        output_blob=command.value.blob,
        fallback=step.fallback,
    )
    done = Fact("step.succeeded", command.step, "running", "succeeded", data)
    if step.breaker is None:
        return [done]
    return [done, *_judge(run, plan, command.step, step, facts, ok=True)]


def fail(run: Run, plan: Plan, command: c.Fail, facts: Facts) -> list[Fact]:
    """Record a failed attempt: another follows, the fallback, or none."""
    step = _attempt(run, command)
    if step is None:
        return []
    node = plan.nodes[command.step]
    dest, due, after = "failed", None, ""
    if run.status == "cancelling":
        pass
    elif command.wait is not None and not step.fallback:
        dest, due = "retrying", facts.now + command.wait
    elif node.fallback is not None and not step.fallback and not command.for_good:
        dest, due, after = "retrying", facts.now, "fallback"
    data = StepFailed(
        attempt=step.attempt,
        error=command.error,
        due=due,
        fallback=step.fallback,
        next=after,
    )
    failed = Fact("step.failed", command.step, "running", dest, data)
    if command.counts is not None:
        return [failed, *_judge(run, plan, command.step, step, facts, ok=not command.counts)]
    return [failed, *_free(run, command.step, step, facts)]


def cease(run: Run, plan: Plan, command: c.Cease, facts: Facts) -> list[Fact]:
    """Record an attempt that ended because it was asked to."""
    step = _attempt(run, command)
    if step is None:
        return []
    return stop(run, command.step, step, command.reason, facts)


def stop(run: Run, name: str, step: StepState, reason: str, facts: Facts) -> list[Fact]:
    """Cancel an attempt in flight."""
    data = StepCancelled(attempt=step.attempt, reason=reason)
    gone = Fact("step.cancelled", name, "running", "cancelled", data)
    return [gone, *_free(run, name, step, facts)]


def lose(run: Run, plan: Plan, command: c.Lose, facts: Facts) -> list[Fact]:
    """Record that an attempt's worker is gone; the third death as a suspect quarantines."""
    step = _attempt(run, command)
    if step is None:
        return []
    node = plan.nodes[command.step]
    freed = _free(run, command.step, step, facts)
    if node.on_lost == "fail" and not step.fallback:
        error = ErrorDoc(
            "StepLost",
            f"worker {step.worker} was lost in the middle of attempt {step.attempt},"
            " and this step must never run twice (on_lost='fail')",
        )
        data = StepFailed(attempt=step.attempt, error=error, lost=True)
        return [Fact("step.failed", command.step, "running", "failed", data), *freed]
    as_suspect = step.deaths >= SUSPECT_AFTER
    deaths = step.deaths + command.died
    suspect = step.suspect + (command.died and as_suspect)
    lost = StepLost(
        worker=step.worker,
        deaths=deaths,
        suspect=suspect,
        reason=command.reason
        or ("its worker died" if command.died else "its worker lost the lease"),
    )
    facts_ = [Fact("step.lost", command.step, "running", "lost", lost), *freed]
    if suspect >= QUARANTINE_AFTER:
        reason = f"{command.step} took its worker down {deaths} times, {suspect} times alone"
        told = StepLost(worker=step.worker, deaths=deaths, suspect=suspect, reason=reason)
        facts_.append(Fact("step.quarantined", command.step, "lost", "quarantined", told))
        if run.status == "running":
            parked = RunSteered(by="engine", reason=reason)
            facts_.append(Fact("run.parked", "run", "running", "parked", parked))
    return facts_


def answer_when(run: Run, plan: Plan, command: c.AnswerWhen, facts: Facts) -> list[Fact]:
    """Skip a step whose `when` said no; fail it if asking failed."""
    if command.step not in run.ready:
        return []
    if command.error is None:
        data = StepSkipped(reason="when said no")
        return [
            Fact("step.skipped", command.step, run.step(command.step).state, "skipped", data)
        ]
    # Asking is part of the first attempt: it failed, and it is not tried again.
    started = start_step(run, plan, command.step, facts, asked=True)
    step = run.step(command.step)
    attempt = step.attempt + 1
    data_ = StepFailed(attempt=attempt, error=command.error)
    return [*started, Fact("step.failed", command.step, "running", "failed", data_)]
