"""Attempts that took too long: recorded as failed, whatever their thread goes on to do."""

from engine.driver import Driver
from engine.flights import Flight


def expire(driver: Driver, now: int) -> None:
    """Record that attempts are past their deadline. *Appends.*

    A thread cannot be stopped: its late result is dropped, and its slot is taken until it
    returns. A coroutine is cancelled by its own watch.
    """
    for hold in list(driver.holds.values()):
        for flight in list(hold.flights.values()):
            if flight.deadline is None or flight.deadline >= now or flight.is_abandoned:
                continue
            if not driver.is_async(flight):
                _expire(driver, flight)


def _expire(driver: Driver, flight: Flight) -> None:
    command = driver.turns.performer.timed_out(flight)
    with flight.hold.lock:
        if flight.hold.flights.get(flight.step) is not flight:
            return
        turn = driver.turn(flight.hold, command)  # if the log fails, it is in flight as before
        if flight.hold.flights.get(flight.step) is flight:
            del flight.hold.flights[flight.step]
        flight.is_abandoned = True
        flight.is_cancelled = True
    if turn is not None:
        driver.launch(turn.flights)
