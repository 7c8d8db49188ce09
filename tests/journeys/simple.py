"""The smallest workflow there is: one step, which doubles a number."""

from playhead import Workflow, step


@step
def double(x: int) -> int:
    return x * 2


simple = Workflow("simple", steps=[double])
