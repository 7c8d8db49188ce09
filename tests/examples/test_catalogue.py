"""The event catalogue says what the code does: types, moves and data are those of the tables."""

import re
from pathlib import Path

import msgspec
import pytest

from engine.core.events import DATA
from engine.core.machine import legal
from engine.core.trigger import SHAPES

PAGE = (Path(__file__).parents[2] / "docs" / "event-catalogue.md").read_text("utf-8")
KINDS = ("run", "step", "signal", "timer", "breaker", "trigger")
TYPES = {**DATA, **SHAPES}
ROW = re.compile(r"^\| `(\w+\.\w+)` \| (.*?) \| (.*?) ?\|$", re.MULTILINE)
ROWS = {type_: (moves, told) for type_, moves, told in ROW.findall(PAGE)}


def moves_in(cell: str) -> set[tuple[str, str]]:
    """Give the moves that a cell names, notes left out."""
    moves = set()
    for part in cell.split("; "):
        if part != "note":
            sources, dests = (side.split(", ") for side in part.split(" → "))
            moves |= {(source, dest) for source in sources for dest in dests}
    return moves


def test_the_catalogue_lists_every_type() -> None:
    """The catalogue has a row for each type of event that is written, and for no other."""
    assert set(ROWS) == set(TYPES)


def test_what_is_only_in_the_tables_is_said_to_be_reserved() -> None:
    """A type that the tables allow and nothing writes stands under Reserved."""
    allowed = {type_ for kind in KINDS for _, type_, _ in legal(kind)}
    reserved = set(re.findall(r"`(\w+\.\w+)`", PAGE.partition("## Reserved")[2]))
    assert reserved == allowed - set(TYPES)


@pytest.mark.parametrize("kind", KINDS)
def test_the_moves_are_those_of_the_table(kind: str) -> None:
    """Each row names the moves that the machine's table allows; a note stays where it is."""
    for type_ in (type_ for type_ in TYPES if type_.startswith(f"{kind}.")):
        cell = ROWS[type_][0]
        allowed = {(source, dest) for source, t, dest in legal(kind) if t == type_}
        written = moves_in(cell)
        assert written <= allowed, type_
        stays = {(source, dest) for source, dest in allowed - written if source == dest}
        assert allowed - written == stays, type_
        assert bool(stays) == ("note" in cell.split("; ")), type_


@pytest.mark.parametrize("type_", sorted(TYPES))
def test_the_data_named_are_fields(type_: str) -> None:
    """What a row names as data are fields of the type's struct."""
    fields = {field.name for field in msgspec.structs.fields(TYPES[type_])}
    named = set(re.findall(r"`(\w+)`(?!=)", re.sub(r"`\w+=[^`]*`", "", ROWS[type_][1])))
    assert named <= fields


def test_no_field_is_forgotten() -> None:
    """Each field of a struct is told in the row of at least one type that uses the struct."""
    for shape in set(TYPES.values()):
        told = " ".join(ROWS[type_][1] for type_, s in TYPES.items() if s is shape)
        fields = {field.name.removesuffix("_blob") for field in msgspec.structs.fields(shape)}
        assert {name for name in fields if f"`{name}`" not in told} == set(), shape
