"""Every kind of log keeps the same promise."""

from eventstore.testing import LogContract


class TestLog(LogContract):
    """The contract over memory, SQLite in memory and a SQLite file (the fixture `log`)."""
