"""What `playhead init` writes: the files of a small project, as they stand."""

FOLDERS = ("inbox",)

APP = '''"""A pipeline that counts the words of each file dropped into inbox/."""

from pathlib import Path

from playhead import Engine, FileTrigger, Workflow, step


@step
def greet(name: str = "world") -> str:
    """Greet somebody; `name` is an input of the workflow."""
    return f"Hello, {name}!"


@step
def shout(greet: str) -> str:
    """Take the output of `greet`: the parameter's name is the edge."""
    return greet.upper()


@step
def read(path: Path) -> str:
    """Read a file."""
    return path.read_text(encoding="utf-8")


@step
def count(read: str) -> int:
    """Count its words."""
    return len(read.split())


@step
def report(path: Path, count: int) -> str:
    """Say how many there are."""
    return f"{path.name}: {count} words"


hello = Workflow("hello", steps=[greet, shout])
words = Workflow("words", steps=[read, count, report])

engine = Engine(
    "sqlite:///playhead.db",
    workflows=[hello, words],
    triggers=[FileTrigger("inbox/*.txt", words)],
)
'''

TEST = '''"""The steps are plain functions; the workflows run on a log in memory."""

from pathlib import Path

from app import count, hello, words
from playhead import Engine


def test_a_step_is_a_function():
    assert count("one two three") == 3


def test_hello():
    assert Engine("sqlite:///:memory:").run(hello, name="Ann") == "HELLO, ANN!"


def test_words(tmp_path: Path):
    file = tmp_path / "note.txt"
    file.write_text("to be or not to be", encoding="utf-8")
    assert Engine("sqlite:///:memory:").run(words, path=file) == "note.txt: 6 words"
'''

README = """# A Playhead project

    playhead run app.py:hello name=Ann        # run a pipeline here and now
    playhead serve app.py                     # watch inbox/; drop a .txt file into it
    playhead runs --app app.py                # what has run
    playhead show last --app app.py           # one run: its steps, their outputs
    playhead replay last --app app.py         # the same, event by event
    playhead graph app.py:words               # the pipeline as a Mermaid picture
    python -m pytest                          # the test

`app.py` holds the steps and the workflows; `playhead.db` is the log, made by the first run.
To write --app only once: `export PLAYHEAD_APP=app.py`
"""

IGNORED = """playhead.db*
__pycache__/
inbox/*
!inbox/.keep
"""

FILES = {
    "app.py": APP,
    "test_app.py": TEST,
    "README.md": README,
    ".gitignore": IGNORED,
    "inbox/.keep": "",
}
