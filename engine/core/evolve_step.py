"""The fold of step.*: attempts start, end, wait, are lost."""
# ruff: noqa: ARG001, D103 - handlers have one shape, and are named by the event they fold

from typing import Any

from engine.core.evolve_run import shorten
from engine.core.joins import settle
from engine.core.owing import owe_trigger
from engine.core.plan import Plan
from engine.core.run import Run


def step_started(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    step = run.steps[subject]
    run.ready.pop(subject, None)
    run.retrying.pop(subject, None)
    run.lost.pop(subject, None)
    if run.parked.pop(subject, None) is not None:
        step.idle += at - step.parked_at
    run.running[subject] = None
    run.spins = 0
    step.visit = data.visit
    step.attempt = data.attempt
    step.worker = data.worker
    step.fallback = data.fallback
    step.deadline = data.deadline
    step.breaker = data.breaker
    step.generation = data.generation
    step.probe = data.probe
    step.refused = data.refused
    step.started = version
    step.due = None
    if not step.began:
        step.began = at
        step.paused_before = run.paused_total


def step_succeeded(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.running.pop(subject, None)
    run.outputs[subject] = version
    if plan.definition.is_machine:
        owe_trigger(run, plan, "done", version)
        return
    run.open -= 1
    settle(run, plan, subject)


def step_skipped(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.ready.pop(subject, None)
    run.retrying.pop(subject, None)
    run.parked.pop(subject, None)
    run.lost.pop(subject, None)
    run.steps[subject].reason = data.reason
    if plan.definition.is_machine:
        owe_trigger(run, plan, "done", version)
        return
    run.open -= 1
    settle(run, plan, subject)


def step_failed(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    step = run.steps[subject]
    run.running.pop(subject, None)
    run.lost.pop(subject, None)
    step.failed = version
    if dest == "retrying":
        step.fallback = data.next == "fallback"
        step.due = data.due
        run.retrying[subject] = data.due or at
        return
    if plan.definition.is_machine:
        owe_trigger(run, plan, "error", version)
        if (run.place, "error") not in plan.edges:
            run.failing, run.failure = subject, version
        return
    run.open -= 1
    if subject in plan.survivable:
        settle(run, plan, subject)
    elif run.failing is None:
        run.failing, run.failure, run.error = subject, version, shorten(data.error)


def step_parked(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.ready.pop(subject, None)
    run.retrying.pop(subject, None)
    run.lost.pop(subject, None)
    run.parked[subject] = data.breaker
    step = run.steps[subject]
    step.parked_at = at
    if not step.began:
        step.began, step.paused_before = at, run.paused_total


def step_lost(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.running.pop(subject, None)
    run.lost[subject] = None
    step = run.steps[subject]
    step.base += 1  # the retry policy never hears of it
    step.deaths, step.suspect = data.deaths, data.suspect


def step_quarantined(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    run.lost.pop(subject, None)


def step_cancelled(
    run: Run, plan: Plan, version: int, subject: str, dest: str, data: Any, at: int
) -> None:
    for owed in (run.running, run.retrying, run.parked, run.lost, run.ready):
        owed.pop(subject, None)
