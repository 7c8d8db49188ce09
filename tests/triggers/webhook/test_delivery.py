"""A delivery as the log and the workflow see it: body, headers, and what makes it count once."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.webhook import delivery
from triggers.webhook.delivery import Unreadable, content, key, shown
from triggers.webhook.schemes import SCHEMES, Scheme, Signed

JSON = [(b"content-type", b"application/json; charset=utf-8")]
PLAIN = [(b"content-type", b"text/plain")]
HMAC = Scheme(header="x-signature", unsigned_id="x-id")


def sha(body):
    """Give the digest of a body."""
    return hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("headers", "body", "value"),
    [
        (JSON, b'{"a":[1,null]}', {"a": [1, None]}),
        ([(b"content-type", b"application/cloudevents+json")], b"[1]", [1]),
        (JSON, b'{"a":1,"a":2}', {"a": 2}),
        (JSON, b"", ""),
        ([], b'{"a":1}', {"a": 1}),
        ([], b"Hello, World!", "Hello, World!"),
        ([], b"\xff\xfe", b"\xff\xfe"),
        ([], b"", ""),
        (PLAIN, b'{"a":1}', '{"a":1}'),
        (PLAIN, "é".encode(), "é"),
        (PLAIN, b"\xff", b"\xff"),
        ([(b"content-type", b"application/x-www-form-urlencoded")], b"a=1&b=2", "a=1&b=2"),
    ],
)
def test_a_body_is_read_by_its_content_type(headers, body, value):
    """JSON where the type says so, or where none says anything; else text, else bytes."""
    assert content(headers, body, None) == value


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"a":' * 100_000, b"NaN", b"[Infinity]", b"{", b"\xff",
     b'"\\ud800"', b"1e400", b"\xef\xbb\xbf{}", b"{} {}", b"{'a': 1}", b"1" * 5000,
     b"[" * 201 + b"]" * 201],
)  # fmt: skip
def test_what_is_no_json_is_refused(body):
    """Unclosed, deep, NaN, half a surrogate, two values: one kind of error, whatever is wrong."""
    with pytest.raises(Unreadable, match="the body is no JSON"):
        content(JSON, body, None)
    assert content([], body, None) in (body, body.decode("utf-8", "replace"))


def test_two_hundred_levels_are_not_too_deep():
    """The bound is 200 levels; wide is not deep."""
    deep = content(JSON, b"[" * 200 + b"]" * 200, None)
    for _ in range(199):
        (deep,) = deep
    assert deep == []
    assert len(content(JSON, b"[" + b"[]," * 999 + b"{}]", None)) == 1000


def test_a_workflow_may_want_the_body_raw():
    """As bytes it is what came; as text it is to be UTF-8, whatever the content type says."""
    assert content(JSON, b'{"a": 1}', bytes) == b'{"a": 1}'
    assert content(JSON, b'{"a": 1}', str) == '{"a": 1}'
    with pytest.raises(Unreadable, match="no UTF-8"):
        content(PLAIN, b"\xff", str)


@given(body=st.binary(max_size=60), says_json=st.booleans())
def test_no_body_raises_anything_else(body, says_json):
    """Any bytes at all give a value or `Unreadable`."""
    try:
        content(JSON if says_json else [], body, None)
    except Unreadable:
        assert says_json


def test_headers_that_prove_or_open_are_blotted_out():
    """Signature, authorization, cookie and the like; names in small letters; copies joined."""
    found = shown(
        HMAC,
        [(b"Host", b"h"), (b"X-Signature", b"s"), (b"Authorization", b"Bearer b"),
         (b"cookie", b"c"), (b"X-Gitlab-Token", b"t"), (b"x-api-key", b"k"),
         (b"x-forwarded-for", b"1.1.1.1"), (b"X-Forwarded-For", b"2.2.2.2"),
         (b"x-name", "é".encode("latin-1")), (b"x-hub-signature", b"sha1=0"),
         (b"x-auth-user", b"u"), (b"x-author", b"ann"), (b"idempotency-key", b"7")],
    )  # fmt: skip
    assert found == {
        "host": "h", "x-signature": "[redacted]", "authorization": "[redacted]",
        "cookie": "[redacted]", "x-gitlab-token": "[redacted]", "x-api-key": "[redacted]",
        "x-forwarded-for": "1.1.1.1, 2.2.2.2", "x-name": "é", "x-hub-signature": "[redacted]",
        "x-auth-user": "[redacted]", "x-author": "ann", "idempotency-key": "7",
    }  # fmt: skip


def test_the_signed_id_is_the_key():
    """Standard Webhooks signs it in a header, Stripe and Slack in the body."""
    body = b'{"id":"evt_1","event_id":"Ev1"}'
    assert key(SCHEMES["standard"], Signed("msg_1"), [], body) == "msg_1"
    assert key(SCHEMES["stripe"], Signed(), [], body) == "evt_1"
    assert key(SCHEMES["slack"], Signed(), [], body) == "Ev1"


@pytest.mark.parametrize("body", [b"a=1", b"[1]", b'{"id":7}', b'{"id":""}', b"{", b"null"])
def test_without_an_id_in_the_body_the_body_is_the_key(body):
    """A form, a list, an id that is no text: the bytes themselves make it count once."""
    assert key(SCHEMES["stripe"], Signed(), [], body) == f"sha256:{sha(body)}"


def test_the_delivery_id_of_github_is_never_the_key():
    """It is not signed: the same body under another id is the same delivery."""
    found = [(b"x-github-event", b"push"), (b"x-github-delivery", b"1")]
    assert key(SCHEMES["github"], Signed(), found, b"{}") == f"push:{sha(b'{}')}"
    found[1] = (b"x-github-delivery", b"2")
    assert key(SCHEMES["github"], Signed(), found, b"{}") == f"push:{sha(b'{}')}"
    assert key(SCHEMES["github"], Signed(), [], b"{}") == f"sha256:{sha(b'{}')}"


def test_an_unsigned_id_is_the_key_where_it_was_asked_for():
    """`id_header=` says that the user wants it; where it is missing, the body is the key."""
    assert key(HMAC, Signed(), [(b"X-Id", b"7")], b"x") == "7"
    assert key(HMAC, Signed(), [], b"x") == f"sha256:{sha(b'x')}"
    assert (
        key(HMAC, Signed(), [(b"x-id", b"7"), (b"x-id", b"8")], b"x") == f"sha256:{sha(b'x')}"
    )


def test_an_empty_body_identifies_nothing():
    """Where no id is signed, an empty body has no key."""
    assert key(SCHEMES["github"], Signed(), [(b"x-github-event", b"ping")], b"") is None
    assert key(SCHEMES["standard"], Signed("msg_1"), [], b"") == "msg_1"


@pytest.mark.parametrize("id_", ["x" * 201, "a\x00b", "a\nb", "\ud800", "\u202e"])
def test_an_odd_id_is_told_by_its_digest(id_):
    """A key fits into any database, whatever stands in a header or a body."""
    found = key(SCHEMES["standard"], Signed(id_), [], b"")
    assert found.startswith("id-sha256:")
    assert found.isascii()


def test_a_challenge_is_asked_by_slack_alone():
    """It has a type and a text; a form that contains the word asks nothing."""
    body = b'{"type":"url_verification","challenge":"c1","token":"t"}'
    assert delivery.challenge(SCHEMES["slack"], body) == "c1"
    assert delivery.challenge(SCHEMES["github"], body) is None
    assert delivery.challenge(SCHEMES["slack"], b"text=url_verification") is None
    assert delivery.challenge(SCHEMES["slack"], b'{"text":"url_verification"}') is None
