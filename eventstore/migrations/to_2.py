"""Schema 2: what tells more of a worker (lock, last renewal, clock); when a blob was last put."""

import sqlalchemy as sa
from alembic.operations import Operations

TOLD = "adds worker.locked, worker.renewed, worker.skew and blob.kept"


def apply(operations: Operations) -> None:
    """Add the columns. No row is written anew but those of workers, so it takes no time."""
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    for table, column in (
        ("worker", sa.Column("locked", big, nullable=False, server_default=sa.text("0"))),
        ("worker", sa.Column("renewed", big, nullable=False, server_default=sa.text("0"))),
        ("worker", sa.Column("skew", big, nullable=True)),
        ("blob", sa.Column("kept", big, nullable=False, server_default=sa.text("0"))),
    ):
        operations.add_column(table, column)
    operations.execute("UPDATE worker SET renewed = since")
