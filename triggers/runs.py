"""RunTrigger: the end of a run starts another, or signals one that waits.

Law of this file: ends are followed by their position in the log, so that no clock decides what
was seen; each end counts once, whatever restarts.
"""

from collections.abc import Mapping
from typing import Any

from engine.triggering import Door, Ending
from engine.triggering import Firing as Letter
from engine.triggerstream import DoorShut
from triggers.errors import one_of, wrong
from triggers.firing import Mapper
from triggers.start import Start, name_of, revision_of

AT_ONCE = 100  # ends looked at together
ENDS = {"succeeded": "run.succeeded", "failed": "run.failed"}


class RunTrigger:
    """Starts a run each time a run of another workflow has succeeded, or has failed for good.

    Ends count from when the trigger was armed first. A run that failed, was retried and failed
    again has ended twice, and fires twice.
    """

    kind = "run"

    def __init__(
        self,
        workflow: Any,
        start: Any,
        *,
        on: str = "succeeded",
        input: Mapper | None = None,  # noqa: A002 - the contract's word
        name: str | None = None,
    ) -> None:
        """Take what is followed and what it starts.

        Args:
            workflow: a workflow or its name; it may be one of another program on the same log.
            start: a workflow or its name, or `signal(name, to=…)`.
            on: "succeeded" or "failed".
            input: makes the workflow's inputs of a firing, whose facts are `run` (the id),
                `workflow`, `status`, and `result` or `error`; by default its one input gets the
                id of the run that has ended.
            name: by default `run:WORKFLOW succeeded:WORKFLOW`.

        Raises:
            DefinitionError: no workflow, an end that there is not, or a workflow that would start
                itself without end.
        """
        followed = workflow if isinstance(workflow, str) else getattr(workflow, "name", None)
        if not isinstance(followed, str) or not followed:
            raise wrong(
                f"RunTrigger follows a workflow or the name of one, not {workflow!r}; what it"
                " starts comes second"
            )
        one_of("on", on, tuple(ENDS))
        self._start = Start(start, input, fact="run")
        self.workflow = self._start.workflow
        if self.workflow == followed:
            raise wrong(
                f"each end of a run of {followed!r} would start the next one, for ever; to begin"
                " again is the work of a machine with an edge back, or of a retry"
            )
        self.hears: str | None = followed
        self._followed, self._type = followed, ENDS[on]
        self.name = name_of(name, self.kind, f"{followed} {on}", self.workflow)
        self._revision = revision_of(
            kind=self.kind, workflow=self.workflow, followed=followed, on=on
        )

    def check(self, workflows: Mapping[str, Any]) -> None:
        """Refuse a workflow that is not there or whose inputs nothing fills."""
        self._start.check(workflows)

    def revision(self) -> str:
        """Give the options as text."""
        return self._revision

    def poll(self, door: Door, now: int) -> None:
        """Fire for each end that is new, oldest first."""
        del now
        while ends := door.endings(self._followed, (self._type,), limit=AT_ONCE):
            is_open = door.state().is_open(self._revision)
            for end in ends:
                letter = self._letter(end)
                if is_open:
                    try:
                        self._start.fire(door, letter)
                    except DoorShut:
                        return
                elif not self._pass(door, letter):
                    return

    def ended(self, door: Door, now: int) -> None:
        """Do as `poll` does."""
        self.poll(door, now)

    def _pass(self, door: Door, letter: Letter) -> bool:
        """Pass over an end while the trigger is paused; False if another revision is armed."""
        if door.state().state != "paused":
            return False
        door.decline(letter, "paused")
        return True

    def _letter(self, end: Ending) -> Letter:
        facts = {"run": end.run, "workflow": end.workflow, "status": end.status, **end.outcome}
        cause = f"{end.run}@{end.version}"
        return Letter(self.name, cause, end.at, facts, cause, slot=end.position)

    def open(self, door: Door) -> None:
        """Arm the trigger: ends count from now."""
        door.state()

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""
