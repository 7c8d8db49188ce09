"""Schemes of signing: the published examples, the official client, and what is refused."""

import base64
import json
from datetime import UTC, datetime

import freezegun
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from engine.errors import DefinitionError
from tests.triggers.webhook import signing
from tests.triggers.webhook.signing import SECRETS, raw
from triggers.webhook.schemes import (
    FORGED,
    SCHEMES,
    STALE,
    Refused,
    Scheme,
    Signed,
    key_of_secret,
    verify,
)

SECOND = 1_000_000
NOW = 1_900_000_000  # seconds
BODY = b'{"id":"evt_1","event_id":"Ev1","text":"hello"}'
SLACK_AT = 1_531_420_618
SLACK = (  # https://docs.slack.dev/authentication/verifying-requests-from-slack
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
    b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
    b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
    b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
TABLE = {**SCHEMES, "hmac": Scheme(header="x-signature")}
each_scheme = pytest.mark.parametrize("name", TABLE)


def held(name, headers, body, *, now=NOW, secrets=None, tolerance=300):
    """Hold a delivery against a scheme of the table."""
    scheme = TABLE[name] if isinstance(name, str) else name
    keys = [key_of_secret(scheme, one) for one in secrets or [SECRETS[name]]]
    found = headers if isinstance(headers, list) else raw(headers)
    return verify(
        scheme, keys, found, body, now=now * SECOND, tolerance=int(tolerance * SECOND)
    )


def test_the_example_of_standard_webhooks():
    """The worked example of the specification's client libraries holds."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    told = held("standard", headers, b'{"test": 2432232314}', now=1_614_265_330)
    assert told == Signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330 * SECOND)


def test_the_example_of_github():
    """The worked example of GitHub's documentation holds."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert held("github", {"X-Hub-Signature-256": signature}, b"Hello, World!") == Signed()


def test_the_example_of_slack():
    """The worked example of Slack's documentation holds."""
    headers = {
        "X-Slack-Request-Timestamp": str(SLACK_AT),
        "X-Slack-Signature": (
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
        ),
    }
    assert held("slack", headers, SLACK, now=SLACK_AT) == Signed("", SLACK_AT * SECOND)


def test_the_format_of_stripe():
    """Time and signatures stand in one header; those of other versions are passed over."""
    headers = signing.stripe(BODY, at=NOW)
    assert held("stripe", headers, BODY) == Signed("", NOW * SECOND)
    old = headers["Stripe-Signature"].replace("v1=", "v0=")
    assert held("stripe", {"Stripe-Signature": old}, BODY) == Refused(FORGED)


@given(msg=st.from_regex(r"\A[\w-]{1,40}\Z", fullmatch=True), body=st.text(max_size=200))
def test_what_the_official_client_signs_is_taken(msg, body):
    """Whatever id and text the official client signs, we take."""
    content = body.encode()
    headers = signing.standard(content, msg=msg.encode("ascii", "replace").decode(), at=NOW)
    told = held("standard", headers, content)
    assert isinstance(told, Signed)


@pytest.mark.parametrize("change", ["body", "id", "time", "signature", "version", "stale"])
def test_the_official_client_and_we_refuse_the_same(change):
    """A delivery that was changed is refused by both; the unchanged one is taken by both."""
    content = BODY
    headers = signing.standard(content, at=NOW)
    with freezegun.freeze_time(datetime.fromtimestamp(NOW, UTC)):
        client = Webhook(SECRETS["standard"])
        assert client.verify(content, headers) == json.loads(content)
        assert isinstance(held("standard", headers, content), Signed)
        if change == "body":
            content += b" "
        elif change == "stale":
            headers = signing.standard(content, at=NOW - 301)
        else:
            name = {"time": "timestamp", "version": "signature"}.get(change, change)
            value = headers[f"webhook-{name}"]
            headers[f"webhook-{name}"] = {
                "id": "msg_2", "time": str(NOW + 1), "signature": f"v1,{value[4:]}A",
                "version": value.replace("v1,", "v2,"),
            }[change]  # fmt: skip
        with pytest.raises(Exception, match=r".*"):
            client.verify(content, headers)
        assert isinstance(held("standard", headers, content), Refused)


@each_scheme
def test_any_secret_will_do(name):
    """While a secret is changed, the old one and the new one both hold, and no third."""
    old = SECRETS[name]
    new = "whsec_" + base64.b64encode(b"another secret of 32 bytes length").decode()
    third = "whsec_" + base64.b64encode(b"a secret that nobody has told us").decode()
    for secret in (old, new):
        headers = signing.signed(name, BODY, NOW, secret=secret)
        assert isinstance(held(name, headers, BODY, secrets=[new, old]), Signed)
    headers = signing.signed(name, BODY, NOW, secret=third)
    assert held(name, headers, BODY, secrets=[new, old]) == Refused(FORGED)


@pytest.mark.parametrize(("name", "header"), [("standard", " "), ("stripe", ",")])
def test_any_signature_of_several_will_do(name, header):
    """A sender that signs with an old and a new secret at once is understood, in any order."""
    ours = signing.signed(name, BODY, NOW)
    other = "whsec_" + base64.b64encode(b"the secret after the next one").decode()
    theirs = signing.signed(name, BODY, NOW, secret=other)
    where = next(key for key in ours if key.lower() == SCHEMES[name].header)
    for first, second in ((ours, theirs), (theirs, ours)):
        behind = second[where]
        if name == "stripe":
            behind = behind.split(",")[1]
        both = {**ours, where: f"{first[where]}{header}{behind}"}
        assert isinstance(held(name, both, BODY), Signed)
    assert held(name, theirs, BODY) == Refused(FORGED)


@pytest.mark.parametrize("name", ["standard", "stripe", "slack"])
@pytest.mark.parametrize("late", [-301, -300, -1, 0, 1, 300, 301])
def test_a_signed_time_is_fresh_for_five_minutes(name, late):
    """300 s to either side are fresh, 301 s are not."""
    told = held(name, signing.signed(name, BODY, NOW), BODY, now=NOW + late)
    expected = Refused(STALE) if abs(late) > 300 else Signed
    assert told == expected or isinstance(told, Signed) == (expected is Signed)


@pytest.mark.parametrize("name", ["github", "hmac"])
def test_where_no_time_is_signed_none_is_asked(name):
    """What signs the body alone never grows old."""
    assert held(name, signing.signed(name, BODY, NOW), BODY, now=NOW + 10**9) == Signed()


def test_a_forged_delivery_is_never_called_stale():
    """Only who can sign hears of the time: a forged and old delivery is forged."""
    headers = {**signing.slack(BODY, at=NOW - 900), "X-Slack-Signature": "v0=" + "0" * 64}
    assert held("slack", headers, BODY) == Refused(FORGED)


@each_scheme
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_of_the_body_is_refused(name, place, bit):
    """One bit of the body, anywhere, is enough."""
    headers = signing.signed(name, BODY, NOW)
    flipped = bytearray(BODY)
    flipped[place % len(BODY)] ^= 1 << bit
    assert held(name, headers, bytes(flipped)) == Refused(FORGED)


@each_scheme
@given(which=st.integers(0, 10), place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_of_what_is_signed_is_refused(name, which, place, bit):
    """One bit of signature, signed id or signed time is enough; hex has two ways of writing."""
    scheme = TABLE[name]
    counts = {scheme.header, scheme.id_header, scheme.time_header}
    pairs = [
        pair for pair in raw(signing.signed(name, BODY, NOW)) if pair[0].decode() in counts
    ]
    key, value = pairs[which % len(pairs)]
    size = len(value) - 68 if name == "stripe" else len(value)  # what is behind counts not
    flipped = bytearray(value)
    flipped[place % size] ^= 1 << bit
    if flipped.lower() == value and scheme.encoding == "hex" and b"=" in value[:7]:
        return
    if name == "hmac" and flipped.lower() == value:
        return
    changed = [pair for pair in pairs if pair[0] != key] + [(key, bytes(flipped))]
    told = held(name, changed, BODY)
    assert isinstance(told, Refused) or bytes(flipped).strip() == value


GARBAGE = st.binary(max_size=80)
NAMES = st.sampled_from(
    sorted(
        {
            name.encode()
            for scheme in TABLE.values()
            for name in (scheme.header, scheme.id_header, scheme.time_header, "x")
            if name
        }
    )
)
VALUES = st.one_of(
    GARBAGE,
    st.builds(lambda a, b: a + b, st.sampled_from([b"v1,", b"v0=", b"sha256=", b"t="]), GARBAGE),
    st.sampled_from(
        [b"", b"\xff\xfe", b"9" * 5000, b"-1", b"+1", b"1_0", "٣".encode(), b"1e9", b"NaN",
         b"v1", b"v1,", b"v1, v1,", b"t=,v1=", b"t=1,t=2,v1=0", b" ", b"," * 999, b"\x00"]
    ),
)  # fmt: skip


@each_scheme
@given(headers=st.lists(st.tuples(NAMES, VALUES), max_size=8), body=GARBAGE)
def test_garbage_is_refused_and_never_raises(name, headers, body):
    """Whatever stands in the headers, the answer is a refusal."""
    assert held(name, headers, body) == Refused(FORGED)


@each_scheme
def test_a_header_that_comes_twice_proves_nothing(name):
    """Two values for a header that counts: nobody can say which one was meant."""
    scheme = TABLE[name]
    found = raw(signing.signed(name, BODY, NOW))
    for header in (scheme.header, scheme.id_header, scheme.time_header):
        twice = [pair for pair in found if pair[0] == header.encode()]
        if header:
            assert held(name, found + twice, BODY) == Refused(FORGED), header


@each_scheme
def test_without_a_header_that_counts_nothing_is_proven(name):
    """Signature, signed id and signed time are all wanted."""
    scheme = TABLE[name]
    found = raw(signing.signed(name, BODY, NOW))
    for header in (scheme.header, scheme.id_header, scheme.time_header):
        if header:
            rest = [pair for pair in found if pair[0] != header.encode()]
            assert held(name, rest, BODY) == Refused(FORGED), header


@each_scheme
def test_names_of_headers_are_in_any_case(name):
    """A server that hands names on as they came is understood."""
    shouted = [(k.upper(), v) for k, v in raw(signing.signed(name, BODY, NOW))]
    assert isinstance(held(name, shouted, BODY), Signed)


def test_an_id_with_a_full_stop_proves_nothing():
    """`a.1900000000` and time `7` would sign the same as `a`, the time and a body `7.`."""
    headers = signing.standard(BODY, msg="a.b", at=NOW)
    assert held("standard", headers, BODY) == Refused(FORGED)


def test_other_digests_and_encodings():
    """A scheme of one's own: another digest, base64, a prefix; hex in capital letters too."""
    wide = Scheme(header="x-signature", encoding="base64", digest="sha512")
    headers = signing.in_base64(BODY)
    assert held(wide, headers, BODY, secrets=["plain"]) == Signed()
    marked = Scheme(header="x-sig", prefix="hmac ")
    shouted = {"X-Sig": "hmac " + signing.mac("plain", BODY).upper()}
    assert held(marked, shouted, BODY, secrets=["plain"]) == Signed()
    bare = {"X-Sig": signing.mac("plain", BODY)}
    assert held(marked, bare, BODY, secrets=["plain"]) == Refused(FORGED)


@pytest.mark.parametrize(
    "secret", ["whsec_", "whsec_?", "whpk_AAAA", "é", "", " ", None, 7, b""]
)
def test_what_is_no_secret_is_refused_when_it_is_given(secret):
    """The error says what to write, and does not repeat the secret."""
    with pytest.raises(DefinitionError, match=r"a secret of secrets= is") as error:
        key_of_secret(SCHEMES["standard"], secret)
    if secret in ("whsec_?", "whpk_AAAA"):
        assert secret not in str(error.value)


def test_a_secret_may_be_bytes_or_lack_its_prefix_and_padding():
    """What the official client takes as a secret, we take too."""
    coded = base64.b64encode(b"sixteen bytes!!!").decode()
    for secret in (b"sixteen bytes!!!", coded, coded.rstrip("="), f"whsec_{coded}"):
        assert key_of_secret(SCHEMES["standard"], secret) == b"sixteen bytes!!!"
    assert key_of_secret(SCHEMES["stripe"], "whsec_x") == b"whsec_x", "Stripe signs with all"


def test_the_table_is_plain():
    """A scheme is data: it can be written down and read back."""
    for scheme in TABLE.values():
        assert msgspec.json.decode(msgspec.json.encode(scheme), type=Scheme) == scheme
