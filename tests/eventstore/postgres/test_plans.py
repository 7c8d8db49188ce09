"""What the server makes of the statements that are asked again and again."""

import psycopg
import pytest

from eventstore import open_log
from eventstore.postgres.statements import Statements
from eventstore.testing.facts import birth

pytestmark = pytest.mark.postgres

SQL = Statements("playhead")
ASKED = (
    "ASLEEP_TO_WAKE", "LOOK", "LOST_TO_TAKE", "NEXT_DUE", "OWNED", "READY_TO_TAKE", "STATUSES",
    "TOP_PRIORITY", "WORKERS",
)  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_again_and_again_is_not_compiled(postgres_url, name):
    """The server compiles a dear plan at each execution, which takes longer than these take."""
    log = open_log(postgres_url)
    birth(log, "s")
    log.close()
    sql = getattr(SQL, name)
    count = sql.count("%s")
    for number in range(count):
        sql = sql.replace("%s", f"${number + 1}", 1)
    nothing = f"({', '.join(['NULL'] * count)})" if count else ""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        (limit,) = connection.execute("SHOW jit_above_cost").fetchone()
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE asked AS {sql}")
        told = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE asked{nothing}").fetchone()
    (found,) = told[0]
    assert found["Plan"]["Total Cost"] < float(limit)
