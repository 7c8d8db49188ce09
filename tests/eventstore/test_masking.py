"""A url for people has no password in it, however it was written."""

import pytest

from eventstore import masked, masked_words, open_log
from eventstore.errors import StorageUnsuitable

CANARY = "c4n4ry"
WRITTEN = (
    "postgresql://ann:{}@host:5432/db?schema=x",
    "postgresql://ann:p/{}@host/db",
    "postgresql://ann:p?{}@host/db",
    "postgresql://ann:p@{}@host:port/db",
    "postgresql://ann:p@{}@host/db",
    "postgresql://ann:p#[{}]@host/db",
    "postgresql://host/db?user=ann&password={}&schema=x",
    "postgresql://host/db?sslpassword={}",
    "mysql://ann:{}@host/db",
    "ann:{}@host/db",
)


@pytest.mark.parametrize("written", WRITTEN)
def test_a_password_is_hidden(written: str) -> None:
    """Whatever stands before the last `@`, and whatever option is named like a secret."""
    shown = masked(written.format(CANARY))
    assert CANARY not in shown
    assert "***" in shown


@pytest.mark.parametrize("written", WRITTEN)
def test_no_refusal_tells_it(written: str) -> None:
    """Refused or not, nothing that is said of a url holds its password."""
    pytest.importorskip("psycopg")
    try:
        log = open_log(written.format(CANARY))
    except StorageUnsuitable as refused:
        told = str(refused)
    else:
        told = str(getattr(log, "database").place)  # noqa: B009 - no part of the promise
    assert CANARY not in told


@pytest.mark.parametrize(
    "url",
    ["sqlite:///a:b@c.db", "sqlite:///:memory:", "memory://", "postgresql:///db?host=/tmp", ""],
)
def test_what_has_none_stays(url: str) -> None:
    """A file may be called anything; a url without a password is shown as it is."""
    assert masked(url) == url


@pytest.mark.parametrize("written", WRITTEN[:-1])
def test_a_sentence_that_quotes_a_url_hides_it(written: str) -> None:
    """Whatever stands around the url."""
    shown = masked_words(f"no run '{written.format(CANARY)}' here; see https://a.b/c")
    assert CANARY not in shown
    assert shown.endswith(" here; see https://a.b/c")


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///a.db: no",
        "mail ann@host",
        "write postgresql://user:password@host",
        "see http://h:80/x",
    ],
)
def test_a_sentence_without_a_password_stays(text: str) -> None:
    """What is no password is told."""
    assert masked_words(text) == text
