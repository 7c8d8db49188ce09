"""Slips of the pen: inputs that look like a step's name with one letter wrong. Linear.

Two names are near if they share a trace: the name itself, or it with one letter left out. That
finds one letter too many, too few, another, or two changed about.
"""

import re
from collections.abc import Iterator

from engine.core.define import Definition
from engine.core.finding import Finding

_WORK_ENDS = ("done", "error")
_SHORT = 4  # letters: shorter names differ by one letter all the time


def check_slips(definition: Definition) -> Iterator[Finding]:
    """Find inputs that were meant as a step, or as a trigger's payload."""
    names = {node.name: "step" for node in definition.nodes}
    for edge in definition.edges:
        if edge.trigger not in _WORK_ENDS:
            names.setdefault(edge.trigger, "trigger")
    traced: dict[str, str] = {}
    for name in names:
        for trace in _traces(name):
            traced.setdefault(trace, name)
    for wanted in definition.inputs:
        near = [traced[trace] for trace in _traces(wanted.name) if trace in traced]
        meant = next((name for name in near if _is_slip(wanted.name, name)), None)
        if meant is not None:
            taker = _taker(definition, wanted.name)
            yield Finding(
                "near-miss",
                f"{taker or 'a function'!r} takes {wanted.name!r}, which names no step and"
                f" would be an input; did you mean the {names[meant]} {meant!r}?",
                taker,
            )


def _taker(definition: Definition, name: str) -> str:
    """Give the first node that takes an input; "" if only a guard does."""
    for node in definition.nodes:
        if any(param.name == name for param in (*node.params, *(node.when or ()))):
            return node.name
    return ""


def _plain(name: str) -> str:
    return name.casefold().replace("_", "")


def _traces(name: str) -> Iterator[str]:
    plain = _plain(name)
    yield plain
    if len(plain) >= _SHORT:
        for place in range(len(plain)):
            yield plain[:place] + plain[place + 1 :]


def _is_slip(written: str, name: str) -> bool:
    """Tell a slip from two names that are meant: plurals, numbers, short words."""
    one, other = _plain(written), _plain(name)
    if re.findall(r"\d+", one) != re.findall(r"\d+", other):
        return False
    if one == other:
        return True
    one, other = re.sub(r"\d", "", one), re.sub(r"\d", "", other)
    if one + "s" == other or other + "s" == one:
        return False
    if sorted(one) == sorted(other):
        return len(one) >= _SHORT  # two letters changed about
    words = set(written.casefold().split("_")) ^ set(name.casefold().split("_"))
    return len(one) > _SHORT and all(len(word) >= _SHORT for word in words)
