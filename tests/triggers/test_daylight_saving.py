"""The table of the documentation: what each text gives on the night of a change, cell by cell."""

import datetime
import importlib.metadata
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim

from eventstore import clock
from tests.triggers.nights import DAY, local, us
from triggers.cron import Cron

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-on-a-schedule.md"
COLUMNS = ("default", '`gap="skip"`', '`fold="both"`', "cronsim 2.8", "croniter 7.0")
ROW = re.compile(r"^\| `([^`]+)` \| (\w+/\w+) \| ([\d-]+) \|(.*)\|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text("utf-8"))


def slots(column: str, text: str, tz: str, begin: int) -> Iterable[int]:
    """Give the slots later than `begin` as a column has them."""
    zone = ZoneInfo(tz)
    match column:
        case "default":
            return Cron(text, zone).slots(begin, since=0)
        case '`gap="skip"`':
            return Cron(text, zone, gap="skip").slots(begin, since=0)
        case '`fold="both"`':
            return Cron(text, zone, fold="both").slots(begin, since=0)
        case "cronsim 2.8":
            return map(clock.to_us, CronSim(text, local(begin, tz)))
        case _:
            seconds_first = len(text.split()) == 6
            found = croniter(
                text,
                local(begin, tz),
                ret_type=datetime.datetime,
                second_at_beginning=seconds_first,
            )
            return map(clock.to_us, found)


def is_here(column: str) -> bool:
    """Tell whether the page speaks of the version of a library that is installed."""
    library, _, version = column.partition(" ")
    return (
        not version
        or importlib.metadata.version(library).startswith(f"{version}.")
        or (importlib.metadata.version(library) == version)
    )


def cell(column: str, text: str, tz: str, day: str) -> str:
    """Give what a column has for a day, as the page writes it."""
    date = datetime.date.fromisoformat(day)
    noon = us(*date.timetuple()[:3], 12, tz=tz)
    near = itertools.takewhile(lambda s: s < noon + DAY, slots(column, text, tz, noon - DAY))
    shown = [local(slot, tz) for slot in near]
    times = [
        f"{wall:%H:%M}{' 2nd' if wall.fold else ''}" for wall in shown if wall.date() == date
    ]
    return ", ".join(times) or "—"


def test_the_page_names_its_columns() -> None:
    """The table is there, with its columns in this order."""
    assert f"| text | zone | day | {' | '.join(COLUMNS)} |" in PAGE.read_text("utf-8")
    assert len(ROWS) >= 15


@pytest.mark.parametrize(("text", "tz", "day", "cells"), ROWS)
def test_a_row_says_what_happens(text: str, tz: str, day: str, cells: str) -> None:
    """Each cell of a row is what Playhead, or that version of a library, gives on that day."""
    for column, written in zip(COLUMNS, cells.split(" | "), strict=True):
        if is_here(column):
            assert written.strip() == cell(column, text, tz, day), column
