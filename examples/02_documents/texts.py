"""What can be told of a text without asking anybody: its language, headings, frequent words."""

import codecs
import re
from collections import Counter

SMALL = (
    "a an and any are as at be by for from have if in is it may not of on or shall that the this"
    " to use with you"
)
ENGLISH = frozenset(SMALL.split())
WORD = re.compile(r"[A-Za-z]+")
HEADING = re.compile(
    r"^(?:#+ +(?P<hashed>.+)|(?P<underlined>[^\n]{2,60})\n[=~-]{3,})$", re.MULTILINE
)


def language_of(text: str) -> str:
    """Tell whether a text is English ("en") or English in rot13 ("rot13")."""
    plain, turned = (english_in(t) for t in (text, codecs.encode(text, "rot13")))
    return "rot13" if turned > plain else "en"


def english_in(text: str) -> int:
    """Count the small words that English cannot do without."""
    return sum(word in ENGLISH for word in WORD.findall(text.lower()))


def headings(text: str) -> list[str]:
    """Give the headings of a text in Markdown or reStructuredText, in order."""
    return [(m["hashed"] or m["underlined"]).strip() for m in HEADING.finditer(text)]


def frequent_words(text: str, most: int = 5) -> list[str]:
    """Give the words that occur most often, small words left out."""
    words = (word for word in WORD.findall(text.lower()) if len(word) > 3)
    return [word for word, _ in Counter(w for w in words if w not in ENGLISH).most_common(most)]


def first_sentence(text: str, most: int = 100) -> str:
    """Give the first sentence of running text, at most so many characters of it."""
    for line in text.splitlines():
        if len(WORD.findall(line)) > 3 and not re.match(r"^[\w-]+: ", line):
            return line.strip()[:most]
    return ""
