"""What is printed holds nothing that a terminal obeys, and JSON nothing less than all."""

import json

from playhead.cli import out


def test_control_characters_are_escaped() -> None:
    """Escapes, bells, C1 controls and bidi overrides are shown, not obeyed."""
    assert out.plain("a\x1b[31m\x07\x9b\u202e\n") == "a\\x1b[31m\\x07\\x9b\\u202e\\n"
    assert out.plain("déjà → 日本") == "déjà → 日本"


def test_json_is_the_same_value_escaped() -> None:
    """JSON on a terminal is harmless and still the same value."""
    value = {"a\x9b": "\x1b\x7f\u202e\U000e0001 é", "list": ["x" * 1000]}
    text = out.json_text(value)
    assert not set("\x1b\x7f\x9b\u202e\U000e0001") & set(text)
    assert json.loads(text) == value


def test_short_is_short() -> None:
    """A shortened value ends in an ellipsis and has the width asked for."""
    assert out.short("x" * 100, 10) == '"xxxxxxxx…'
    assert out.short([1], 10) == "[1]"
