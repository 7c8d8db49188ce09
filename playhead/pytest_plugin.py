"""The pytest plugin: `playhead_engine` and `timeline`; the project is imported when one is used."""

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playhead.engines import Engines
    from playhead.timeline import Timeline

MARK = (
    "timeline(start): where the clock of the `timeline` fixture begins, an aware datetime, a date"
    " or a text such as '2026-03-28 12:00' in UTC; by default the first moment of 2030"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", MARK)


@pytest.fixture
def _playhead_engines() -> "Iterator[Engines]":
    """The engines of one test, shared by the two fixtures: they close before time is let go."""
    from playhead.engines import Engines  # noqa: PLC0415 - see the caption

    with Engines() as engines:
        yield engines


@pytest.fixture
def playhead_engine(_playhead_engines: "Engines") -> "Engines":
    """Make engines: `playhead_engine(workflows=[...], triggers=[...])`.

    Each has a private log in memory and works in the caller's thread (`run_until_idle`); it is
    closed when the test ends. Together with `timeline` its clock is the timeline's.
    """
    return _playhead_engines


@pytest.fixture
def timeline(
    request: pytest.FixtureRequest, _playhead_engines: "Engines"
) -> "Iterator[Timeline]":
    """Freeze the clock: `timeline.now`, `.advance(hours=1)`, `.to_next()`, `.jump(days=3)`.

    It walks through what is due in every engine of `playhead_engine`, and in those handed to
    `timeline.add(engine)`. `@pytest.mark.timeline("2026-03-28 12:00")` says where it begins.
    """
    if importlib.util.find_spec("freezegun") is None:
        pytest.fail("`timeline` needs freezegun: pip install 'playhead[test]'", pytrace=False)
    from playhead.timeline import Timeline  # noqa: PLC0415 - see the caption

    mark = request.node.get_closest_marker("timeline")
    start = _start_of(mark) if mark else None
    try:
        line = Timeline(start, engines=_playhead_engines)
    except (TypeError, ValueError) as error:
        pytest.fail(f"@pytest.mark.timeline: {error}", pytrace=False)
    with line as moving:
        yield moving


def _start_of(mark: pytest.Mark) -> Any:
    """Give the one argument of the mark, by place or by name; None: it has none."""
    said = {**mark.kwargs, **{f"argument {n}": arg for n, arg in enumerate(mark.args, 1)}}
    start = said.pop("argument 1", None)
    if start is None:
        start = said.pop("start", None)
    if said:
        pytest.fail(
            f"@pytest.mark.timeline takes one moment, start, and no {', '.join(sorted(said))}:"
            " write @pytest.mark.timeline('2026-03-28 12:00')",
            pytrace=False,
        )
    return start
