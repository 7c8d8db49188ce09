"""The room that a log in PostgreSQL takes: the server looks after it."""


class ServerRoom:
    """The room of one log; see `retention.Room`. Autovacuum uses again what is free."""

    def settle(self) -> None:
        """Do nothing: checkpoints are the server's."""

    def reclaim(self) -> int:
        """Give nothing back: what is free is used again by what is appended next."""
        return 0
