"""An older log made a log of today's schema, by Alembic's operations in one transaction.

The stamp in `log_meta` is the only record of where a log stands: there is no table of Alembic's.
Each step is written once, against the schema of its day, and never changed; a created log and a
migrated one are alike, to the order of their columns.
"""

from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from eventstore import schema
from eventstore.migrations import to_2


class Step(NamedTuple):
    """A step to a schema from the one before."""

    told: str  # what it does, for people
    apply: Callable[[Operations], None]


STEPS = {2: Step(to_2.TOLD, to_2.apply)}


def steps_from(found: int) -> list[Step]:
    """Give the steps that a log of this schema still has to take, in order. *Pure.*"""
    return [STEPS[number] for number in range(found + 1, schema.VERSION + 1)]


def upgrade(connection: sa.Connection, found: int) -> None:
    """Take the steps and stamp the log, within the transaction that is open."""
    operations = Operations(MigrationContext.configure(connection))
    for step in steps_from(found):
        step.apply(operations)
    connection.execute(
        sa.update(schema.log_meta)
        .where(schema.log_meta.c.key == "schema")
        .values(value=str(schema.VERSION))
    )
