"""Every kind of log keeps the same promise."""

from eventstore.testing import LogContract


class TestLog(LogContract):
    """The contract over memory, SQLite in memory, a SQLite file and PostgreSQL (fixture `log`)."""
