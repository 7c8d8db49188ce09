"""Declared secrets are taken out of text and values, in each form in which they turn up."""

import base64
import json
import urllib.parse

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.core.events import ErrorDoc, RunEnded, RunStarted, StepFailed
from engine.errors import DefinitionError, ValueRefused
from engine.secrets import FIELDS, Secrets
from engine.veil import Veil

WORD = 'hun"ter\\2 é&<%'  # needs an escape in each kind of text
GONE = "[redacted:db]"
VEIL = Veil(Secrets(values={"db": WORD, "pin": "48151623"}))
NONE = Veil(Secrets())

FORMS = {
    "as it is": WORD,
    "in JSON": json.dumps(WORD)[1:-1],
    "in JSON of UTF-8": json.dumps(WORD, ensure_ascii=False)[1:-1],
    "in JSON in JSON": json.dumps(json.dumps(WORD))[3:-3],
    "as Python writes it": repr({"a": WORD})[7:-2],
    "as bytes of Python": repr(WORD.encode())[2:-1],
    "in a path": urllib.parse.quote(WORD),
    "in a query": urllib.parse.quote_plus(WORD),
    "in a query, small letters": urllib.parse.quote(WORD).replace("%C3%A9", "%c3%a9")
    .replace("%5C", "%5c").replace("%3C", "%3c"),
    "in HTML": WORD.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;"),
    "in hex": WORD.encode().hex(),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_value_is_found_in_each_form(form):
    """A mark stands in place of the secret, and what is around it stays."""
    assert VEIL.text(f"a {form} z") == f"a {GONE} z"


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
def test_a_value_is_found_in_base64(before):
    """Wherever it begins within the encoded bytes, all of it that is its own is taken out."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode((before + WORD + ":z").encode()).decode()
        clean = VEIL.text(text)
        left = clean.replace(GONE, "").rstrip("=")
        assert GONE in clean
        others = len(before + ":z") * 8  # bits; a letter at each end holds some of both
        assert len(left) * 6 <= others + 2 * 6


def test_other_text_is_handed_back_itself():
    """What holds no secret is the very same object: nothing was made anew."""
    text, raw = "nothing to see", b'{"a":[1,2.50,"x"]}'
    assert VEIL.text(text) is text
    assert VEIL.words(text) is text
    assert VEIL.raw(raw) is raw
    data = StepFailed(1, ErrorDoc("ValueError", "no"))
    assert VEIL.said(data) is data


@pytest.mark.parametrize(
    "name",
    ["password", "Authorization", "Set-Cookie", "apiKey", "API-KEY", "X-Api-Key", "api_key"],
)
def test_what_stands_under_a_field_is_blotted_out(name):
    """Capital letters, `-` and `_` make no difference; a value of any kind goes."""
    for value in ("x", 5, ["x"], {"a": "x"}):
        assert NONE.plain({"a": {name: value}}) == {"a": {name: "[redacted]"}}
    assert NONE.plain({name: None, "b": ""}) == {name: None, "b": ""}


def test_only_a_whole_name_is_a_field():
    """Counts of tokens, page tokens and a text about passwords stay as they are."""
    value = {
        "max_tokens": 5,
        "next_page_token": "x",
        "passwords": ["a"],
        "text": "the password is",
    }
    assert NONE.plain(value) == value
    assert Veil(Secrets(fields=())).plain({"password": "x"}) == {"password": "x"}
    assert Veil(Secrets(fields=["iban"])).plain({"IBAN": "x", "token": "y"}) == {
        "IBAN": "[redacted]",
        "token": "y",
    }


def test_headers_are_known_in_each_shape():
    """A mapping, a list of pairs and a list of name and value are blotted out alike."""
    pairs = [["accept", "*/*"], ["cookie", "a=1"]]
    assert NONE.plain(pairs) == [["accept", "*/*"], ["cookie", "[redacted]"]]
    named = [{"name": "Cookie", "value": "a=1"}, {"name": "id", "value": "7"}]
    assert [one["value"] for one in NONE.plain(named)] == ["[redacted]", "7"]
    assert NONE.plain(["password", "token"]) == ["password", "token"]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("GET /a?token=abc&b=1", "GET /a?token=[redacted]&b=1"),
        ("login(password='a b', n=1)", "login(password='[redacted]', n=1)"),
        ('{"password": "a\\"b", "n": 1}', '{"password":"[redacted]","n":1}'),
        ("said {'api_key': 'abc'}", "said {'api_key': '[redacted]'}"),
        ('said {\\"api_key\\": \\"abc\\"}', 'said {\\"api_key\\": \\"[redacted]\\"}'),
        ("Cookie: a=1; b=2\r\nHost: x", "Cookie: [redacted]\r\nHost: x"),
        ("Authorization: Bearer abc", "Authorization: [redacted]"),
        ("[(b'Set-Cookie', b'a=1')]", "[(b'Set-Cookie', b'[redacted]')]"),
        ("invalid token: expired", "invalid token: expired"),
        ("max_tokens=5", "max_tokens=5"),
    ],
)
def test_what_text_says_of_a_field_is_blotted_out(text, clean):
    """Queries, calls, JSON and headers inside of text; what only talks of a field stays."""
    assert NONE.words(text) == clean


def test_a_number_that_is_a_secret_is_found():
    """A declared secret of digits goes as a number too; one that only begins so stays."""
    assert VEIL.plain([48151623, 481516230]) == ["[redacted:pin]", 481516230]


def test_hashes_and_ids_of_an_event_stay():
    """A secret of digits that stands in a hash by chance does not break the event."""
    data = RunStarted(
        "w", "ab48151623cd", inputs_blob="48151623", key="k48151623", due=48151623
    )
    clean = VEIL.said(data)
    assert (clean.definition, clean.inputs_blob, clean.due) == (
        data.definition,
        data.inputs_blob,
        data.due,
    )
    assert clean.key == "k[redacted:pin]"


def test_the_engine_own_fields_are_no_fields():
    """A step that is called like a field keeps the place of its result."""
    data = RunEnded(result={"token": 7, "password": None})
    assert VEIL.said(data) is data


def test_errors_lose_secrets_in_message_and_traceback():
    """An error is text that quotes anything: a URL, a line of source, another error."""
    doc = ErrorDoc("E", f"GET /?token=abc {WORD}", f'  password = "abc"\nE: {WORD}')
    clean = VEIL.said(StepFailed(1, doc)).error
    assert clean.message == f"GET /?token=[redacted] {GONE}"
    assert clean.traceback == f'  password = "[redacted]"\nE: {GONE}'


_LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(),
    st.sampled_from([WORD, *FORMS.values(), f"password={WORD}", "48151623", GONE, '{"token":"x"}']),
)  # fmt: skip
_NAMES = st.one_of(st.text(), st.sampled_from([*FIELDS, WORD, "name", "value"]))
VALUES = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(_NAMES, inner, max_size=3),
        inner.map(lambda value: msgspec.json.encode(value).decode()),
    ),
    max_leaves=8,
)


@given(VALUES)
@example({"the password": '{"token":"x","a password":"y"}'})
@example(f'{{"a":"token=[redacted{WORD}"}}')
def test_a_value_is_clean_and_stays_as_it_is(value):
    """Whatever the value: no secret is left in its JSON, and a second time changes nothing."""
    raw = msgspec.json.encode(value)
    clean = VEIL.raw(raw)
    text = clean.decode()
    assert WORD not in text
    assert json.dumps(WORD, ensure_ascii=False)[1:-1] not in text
    assert VEIL.raw(clean) == clean


def test_what_is_too_deep_to_be_looked_through_is_refused():
    """Two hundred levels are looked through; what goes deeper than Python can is not let pass."""
    deep = b"[" * 200 + b'{"password":"x"}' + b"]" * 200
    assert b'"[redacted]"' in VEIL.raw(deep)
    with pytest.raises(ValueRefused, match="nested too deeply"):
        VEIL.raw(b"[" * 900 + b'{"password":"x"}' + b"]" * 900)


def test_several_lines_and_urls_are_known_by_their_parts():
    """A line of a key in a traceback, and the password of a URL alone, are found too."""
    pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nshort\n-----END KEY-----\n"
    veil = Veil(Secrets(values={"pem": pem, "url": "postgres://app:sw0rdfish@db/x"}))
    assert veil.text("line MIIEvQIBADANBgkqhkiG9w0 of it") == "line [redacted:pem] of it"
    assert veil.text(pem.strip()) == "[redacted:pem]"
    assert veil.text("password sw0rdfish is wrong") == "password [redacted:url] is wrong"


def test_the_longer_of_two_secrets_is_taken():
    """Of two secrets of which one begins the other, nothing of the longer one is left."""
    veil = Veil(Secrets(values={"a": "abcdef", "b": "abcdefghij"}))
    assert veil.text("abcdefghij abcdefg") == "[redacted:b] [redacted:a]g"


def test_the_environment_is_read_when_asked(monkeypatch):
    """Variables are resolved by name; one that is absent is refused with the near miss."""
    monkeypatch.setenv("SHOP_API_KEY", "s3cr3t-of-shop")
    assert Secrets(env=["SHOP_API_KEY"]).resolved() == {"SHOP_API_KEY": "s3cr3t-of-shop"}
    with pytest.raises(DefinitionError, match="no SHOP_APIKEY; did you mean SHOP_API_KEY"):
        Secrets(env=["SHOP_APIKEY"]).resolved()
    assert Secrets(env=["SHOP_APIKEY"], missing_ok=True).resolved() == {}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            lambda: Secrets(values={"pin": "12345"}).resolved(),
            "pin is shorter than 6 characters",
        ),
        (lambda: Secrets(values={"pin": 123456}).resolved(), "pin is no text"),
        (lambda: Secrets(values={"a": "redacted"}).resolved(), "stands in the mark"),
        (lambda: Secrets(values={"db_user": "db_user"}).resolved(), "stands in the mark"),
        (lambda: Secrets(env="KEY"), "take lists"),
        (lambda: Secrets(values=["sword-fish"]), "gives each secret a name"),
        (lambda: Secrets(values={"a b": "sword-fish"}), "'a b' is no name"),
    ],
)
def test_what_cannot_be_a_secret_is_refused(asked, said):
    """The sentence says which one and what to do, and never tells the secret itself."""
    with pytest.raises(DefinitionError, match=said) as refused:
        asked()
    assert not {"12345", "sword-fish"} & set(str(refused.value).replace(":", " ").split())
    assert "sword" not in repr(Secrets(values={"a": "sword-fish"}))
