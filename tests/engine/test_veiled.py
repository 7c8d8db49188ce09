"""A log whose keys are veiled keeps the promise of every log."""

import pytest

pytest.register_assert_rewrite("eventstore.testing")

from engine.secrets import Secrets  # noqa: E402 - after the assertions are made to speak
from engine.veil import Veil  # noqa: E402
from engine.veiled import VeiledLog, veil_of  # noqa: E402
from eventstore import open_log  # noqa: E402
from eventstore.testing import LogContract  # noqa: E402


class TestVeiledLog(LogContract):
    """The contract with secrets declared that none of its keys hold, before a log in memory."""

    @pytest.fixture
    def log(self):
        made = VeiledLog(open_log("memory://"), Veil(Secrets(values={"a": "not in any key"})))
        yield made
        made.close()


def test_the_veil_is_found_by_the_log():
    """Whoever has the log has the veil; a log without one has none."""
    veil = Veil(Secrets())
    assert veil_of(VeiledLog(open_log("memory://"), veil)) is veil
    assert veil_of(open_log("memory://")) is None
