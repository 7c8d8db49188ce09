"""A url of PostgreSQL, taken apart."""

import pytest

from eventstore import open_log
from eventstore.errors import StorageUnsuitable
from eventstore.postgres.address import address_of


def test_what_people_see_bears_no_password():
    """A password is hidden wherever it stands in the url; the rest can be read."""
    for url in (
        "postgresql://ann:hunter2@db.example:5433/app",
        "postgresql://ann@db.example:5433/app?password=hunter2&sslpassword=hunter2",
    ):
        address = address_of(url)
        assert "hunter2" not in address.place
        assert "db.example:5433/app" in address.place
        assert address.server == "db.example:5433"


def test_the_log_has_a_schema_of_its_own():
    """Tables lie in the schema `playhead`, or where the url says; libpq never hears of it."""
    assert address_of("postgresql://h/d").schema == "playhead"
    address = address_of("postgresql://h/d?schema=jobs&sslmode=require")
    assert address.schema == "jobs"
    assert dict(address.url.query) == {"sslmode": "require"}


def test_a_cut_is_noticed_by_default():
    """Time-outs that notice a dead peer are set, unless the url sets them."""
    assert address_of("postgresql://h/d").options["tcp_user_timeout"] == "10000"
    assert address_of("postgresql://h/d").options["keepalives_idle"] == "5"
    own = address_of("postgresql://h/d?tcp_user_timeout=2000&connect_timeout=3")
    assert "tcp_user_timeout" not in own.options
    assert "connect_timeout" not in own.options


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("postgresql://h:port/d", "postgresql://user:password@host:5432/database"),
        ("postgresql://h/d?schema=" + "x" * 51, "50 bytes"),
        ("postgresql://h/d?schema=o'brien", "without % ' \\$"),
        ("postgresql://h/d?schema=half%25", "without % ' \\$"),
        ("postgresql+asyncpg://h/d", "another driver"),
        ("postgres:h/d", "is not the url of a log"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused(url, what):
    """It is said what a url looks like, before anything is opened."""
    with pytest.raises(StorageUnsuitable, match=what):
        open_log(url)
