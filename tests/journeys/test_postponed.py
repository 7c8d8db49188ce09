"""Annotations written as text, as `from __future__ import annotations` makes them."""

from __future__ import annotations

import dataclasses

from playhead import Context, Engine, Outcome, Workflow, step


@dataclasses.dataclass
class Page:
    words: list[str]


@step
def load(text: str) -> Page:
    return Page(text.split())


@step
def fails(load: Page) -> int:
    raise ValueError(len(load.words))


@step
def count(load: Page, fails: Outcome[int], ctx: Context) -> str:
    return f"{len(load.words)} {fails.state} {ctx.attempt}"


def test_annotations_as_text_mean_what_they_name(url):
    """Types, `Outcome` and `Context` are found behind postponed annotations."""
    workflow = Workflow("w", steps=[load, fails, count])
    engine = Engine(url, workflows=[workflow])
    assert engine.run(workflow, text="a b c") == "3 failed 1"
