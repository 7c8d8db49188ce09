"""Commands on runs: obeyed where the run is held, or appended from outside with a hint."""

from engine.core import commands as c
from engine.core.commands import Refusal
from engine.errors import CommandRefused, RunEnded, SignalRefused
from engine.host import Host
from engine.repository import Hold
from engine.turn import Turn


class Steering:
    """Hands commands to runs; one for an engine."""

    def __init__(self, engine: Host) -> None:
        self._engine = engine

    def obey(self, hold: Hold, command: c.Command) -> None:
        """Obey a command on a run, wherever it is held. *Appends.*

        Raises:
            RunEnded: the run has ended.
            SignalRefused: its state does not take the signal.
            CommandRefused: its status does not allow the command.
        """
        engine = self._engine
        driver = engine.live_driver()
        held = driver.holds.get(hold.run.id) if driver is not None else None
        if held is not None and driver is not None:
            turn = driver.turn(held, command)
            if turn is not None:
                driver.launch(turn.flights)
                _refused(held, turn, command)
                return
            hold = engine.peek(hold.run.id)
        turn = engine.turns.take(hold, [command])
        engine.poke()
        if not hold.run.is_ended or hold.owner is not None:
            engine.log.hint([hold.run.id])
        _refused(hold, turn, command)


def _refused(hold: Hold, turn: Turn, command: c.Command) -> None:
    refusal: Refusal | None = turn.refusal
    if refusal is None:
        return
    run = hold.run
    if refusal.kind == "ended":
        raise RunEnded(run.id, run.status, refusal.reason)
    if refusal.kind == "signal" and isinstance(command, c.TellSignal):
        raise SignalRefused(run.id, command.name, refusal.reason)
    raise CommandRefused(run.id, run.status, refusal.reason)
