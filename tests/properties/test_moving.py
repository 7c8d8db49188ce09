"""Any log moves: out of SQLite, through memory, into SQLite, letter for letter."""

import io
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import NEW, Append, Headline, InboxKey, NewEvent, Row, Write, arrival, open_log
from eventstore.export import export

letters = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20
)
numbers = st.integers(-(2**63), 2**63 - 1)
plain = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False),
        st.integers(), letters,
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(letters, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
written = st.builds(
    lambda value, ascii_, indent: json.dumps(value, ensure_ascii=ascii_, indent=indent),
    plain, st.booleans(), st.sampled_from([None, 1]),
)  # fmt: skip
events = st.lists(
    st.builds(
        NewEvent, letters, letters, letters, letters, written, numbers, st.none() | letters,
        st.integers(1, 9),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
rows = st.builds(
    Row, letters, st.none() | numbers, st.lists(letters, max_size=3, unique=True).map(tuple),
    st.none(), st.none() | letters, written,
)  # fmt: skip
headlines = st.builds(
    Headline, letters, st.none() | letters, st.dictionaries(letters, letters, max_size=2),
    numbers,
)  # fmt: skip
streams = st.dictionaries(
    letters, st.tuples(letters, events, rows, headlines, events), max_size=4
)
blobs = st.lists(st.binary(max_size=100) | st.just(bytes(range(256)) * 400), max_size=2)


def _exported(log):
    file = io.BytesIO()
    export(log, file.write)
    file.seek(0)
    return file


@settings(max_examples=40)
@given(streams, st.dictionaries(st.tuples(letters, letters), letters, max_size=3), blobs)
def test_any_log_moves(streams, keys, blobs):
    """Exported, imported and exported again the lines are the same, on each way."""
    source = open_log("sqlite:///:memory:")
    for name, (kind, first, row, headline, second) in streams.items():
        write = Write(name, kind, NEW, tuple(first), row, headline)
        (tip,) = source.append(Append(f"1-{name}", (write,)))
        source.append(Append(f"2-{name}", (Write(name, kind, tip, tuple(second), row),)))
    inbox = tuple(InboxKey(*key, stream) for key, stream in keys.items())
    source.append(Append("keys", (), inbox))
    for content in blobs:
        source.put_blob(content)
    before = _exported(source)
    for url in ("memory://", "sqlite:///:memory:"):
        target = open_log(url)
        arrival.take(target, before, arrival.check(before))
        assert list(target.verify()) == []
        after = _exported(target)
        assert after.readlines()[1:-1] == before.getvalue().splitlines(keepends=True)[1:-1]
        after.seek(0)
        before = after
        source.close()
        source = target
    source.close()
