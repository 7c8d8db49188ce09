"""What any log must do, as tests that any log can be run through.

`LogContract` is a class of pytest tests; a subclass gives the fixture `log`. `fact`, `birth` and
`step` make events and appends for tests that do not care what they say.
"""

from eventstore.testing.appending import AppendContract
from eventstore.testing.claiming import ClaimContract
from eventstore.testing.counting import CountContract
from eventstore.testing.facts import birth, fact, row, step
from eventstore.testing.following import FollowContract
from eventstore.testing.keeping import KeepContract
from eventstore.testing.moving import MoveContract
from eventstore.testing.reading import ReadContract
from eventstore.testing.retaining import RetainContract
from eventstore.testing.working import WorkContract

__all__ = ["LogContract", "birth", "fact", "row", "step"]


class LogContract(
    AppendContract, ReadContract, ClaimContract, WorkContract, CountContract, KeepContract,
    RetainContract, FollowContract, MoveContract,
):  # fmt: skip
    """The whole promise of `eventstore.store`."""
