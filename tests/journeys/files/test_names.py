"""Names that break careless programs: each is a file like others, or is declined in words."""

import os
from pathlib import Path

import pytest

from tests.journeys.files.stage import declined, engine_of, fired, paths, said, texts

LONGEST = "é" * 125 + "x.txt"  # 255 bytes, the most that a name may have

ODD = {
    "a newline": "two\nlines.txt",
    "only a newline before the dot": "\n.txt",
    "a return and a tab": "a\r\tb.txt",
    "255 bytes": LONGEST,
    "a leading dash": "-rf.txt",
    "two dashes": "--help.txt",
    "blanks at both ends": "  a  .txt",
    "a quote and a semicolon": "'; DROP TABLE event; --.txt",
    "percent and braces": "%s {path} %00.txt",
    "a backslash": "a\\b.txt",
    "a control sign": "\x1b[31mred\x07.txt",
    "a colon": "a:1:2.txt",
    "stars and brackets": "*[?].txt",
    "decomposed letters": "u\u0308.txt",
    "right to left": "\u202etxt.exe.txt",
    "a line separator": "a\u2028b.txt",
    "beyond the first plane": "🐍🜁.txt",
}


@pytest.mark.parametrize("name", ODD.values(), ids=ODD.keys())
def test_an_odd_name_is_a_name(file_url, inbox, name):
    """A name of any text starts one run with this very path, and it is known afterwards."""
    (inbox / name).write_text("odd")
    engine = engine_of(file_url, inbox)
    engine.run_until_idle()
    engine.run_until_idle()
    engine_of(file_url, inbox).run_until_idle()
    assert paths(engine) == [str(inbox / name)]
    assert texts(engine) == ["odd"]
    assert len(fired(engine)) == 1


def test_odd_names_while_watching(file_url, inbox, until):
    """All of them at once, told of by the system: one run each."""
    with engine_of(file_url, inbox, complete="close", settle=0.2) as engine:
        for name in ODD.values():
            (inbox / name).write_text(repr(name))
        until(lambda: len(engine.runs(status="succeeded", limit=None)) == len(ODD))
    assert texts(engine) == sorted(map(repr, ODD.values()))
    assert len(fired(engine)) == len(ODD)


def test_composed_and_decomposed_are_two_files(url, inbox):
    """Two names that look alike and have other bytes are two files."""
    for name in ("\u00fc.txt", "u\u0308.txt"):
        (inbox / name).write_text(name)
    if len(list(inbox.iterdir())) < 2:
        pytest.skip("this file system makes one name of the two")
    engine = engine_of(url, inbox)
    engine.run_until_idle()
    assert texts(engine) == sorted(["\u00fc.txt", "u\u0308.txt"])


def test_a_name_that_is_not_utf8_is_declined_in_hex(file_url, inbox):
    """It starts nothing; the event says why and shows the bytes in hex; once, not at each look."""
    raw = b"caf\xe9 \xff.txt"
    Path(os.fsdecode(os.fsencode(inbox) + b"/" + raw)).write_text("bad")
    (inbox / "good.txt").write_text("good")
    engine = engine_of(file_url, inbox)
    for _ in range(3):
        engine.run_until_idle()
    engine_of(file_url, inbox).run_until_idle()
    assert texts(engine) == ["good"]
    (told,) = said(engine, "trigger.declined")
    assert "UTF-8" in told["reason"]
    assert raw.hex() in str(told)


def test_a_folder_whose_name_is_not_utf8(file_url, inbox):
    """What lies in it is declined too, with the bytes of the whole way in hex."""
    folder = os.fsencode(inbox) + b"/d\xe9p\xf4t"
    Path(os.fsdecode(folder)).mkdir()
    Path(os.fsdecode(folder + b"/a.txt")).write_text("bad")
    (inbox / "good.txt").write_text("good")
    engine = engine_of(file_url, inbox, "**/*.txt")
    engine.run_until_idle()
    assert texts(engine) == ["good"]
    (told,) = said(engine, "trigger.declined")
    assert b"d\xe9p\xf4t/a.txt".hex() in str(told)


def test_names_that_are_not_utf8_while_watching(file_url, inbox, until):
    """Told of by the system, they harm neither the watch nor the files that come after."""
    with engine_of(file_url, inbox, complete="close", settle=0.1) as engine:
        for number in range(20):
            name = os.fsencode(inbox) + b"/\xff%d.txt" % number
            Path(os.fsdecode(name)).write_text("bad")
        (inbox / "good.txt").write_text("good")
        until(lambda: engine.runs(status="succeeded"))
        until(lambda: sum(t["count"] for t in counted(engine)) >= 20)
        (inbox / "after.txt").write_text("after")
        until(lambda: len(engine.runs(status="succeeded")) == 2)
    assert texts(engine) == ["after", "good"]
    assert len(declined(engine)) <= 20


def counted(engine):
    """Give what was declined, each with how many it stands for."""
    return [{"count": 1, **told} for told in said(engine, "trigger.declined")]


def test_a_deep_path_of_long_names(url, inbox):
    """A path of nearly 4096 bytes, longer than most programs expect, starts its run."""
    folder = inbox
    while len(os.fsencode(folder)) + 201 + 10 < 4000:
        folder = folder / ("d" * 200)
        folder.mkdir()
    (folder / "a.txt").write_text("deep")
    engine = engine_of(url, inbox, "**/*.txt")
    engine.run_until_idle()
    assert texts(engine) == ["deep"]
