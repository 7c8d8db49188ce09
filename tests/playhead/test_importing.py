"""Loading an app: what is found, and what is said of what is not."""

import sys
from pathlib import Path

import pytest

from playhead.importing import AppRefused, check_folder, check_packages
from playhead.loading import load_engine, load_workflow

BROKEN = {
    "def f(:\n": "bad.py:1: invalid syntax",
    "x = 1\nraise RuntimeError('boo')\n": "bad.py:2: RuntimeError: boo",
    "\nimport nothing_of_this_name\n": "bad.py:2: there is no module 'nothing_of_this_name'",
    "import sys\nsys.exit(3)\n": "bad.py:2: the app ends the program",
    "x = 1\n": "bad.py has no 'engine'; make one in it",
    "engine = 3\n": "bad.py:engine is no Engine but a int",
    "from app import engine as machine\n": "an engine stands at bad.py:machine",
    "from playhead import Workflow, step\n@step\ndef a(b): pass\n@step\ndef b(a): pass\n"
    "w = Workflow('w', steps=[a, b])\n": "bad.py:6",
}


@pytest.mark.parametrize("text", ["app.py", "app", "app:engine", "./app.py:engine"])
def test_an_app_is_a_file_or_a_module(folder: Path, text: str) -> None:
    """The attribute is `engine` unless it is said; files and modules are both found."""
    assert load_engine(text).url == "sqlite:///app.db"


def test_a_file_is_found_in_any_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's own folder is importable, as it is for `python file.py`."""
    there = folder / "deep" / "er"
    there.mkdir(parents=True)
    (there / "beside.py").write_text("URL = 'sqlite:///deep.db'\n", "utf-8")
    (there / "main.py").write_text(
        "import beside\nfrom playhead import Engine\nengine = Engine(beside.URL)\n", "utf-8"
    )
    assert load_engine("deep/er/main.py").url == "sqlite:///deep.db"


@pytest.mark.parametrize("name", ["json", "typer", "my-app"])
def test_a_file_may_have_any_name(folder: Path, name: str) -> None:
    """A file named as a library, or as no identifier, is loaded and replaces nothing."""
    before = sys.modules.get(name)
    (folder / f"{name}.py").write_text((folder / "app.py").read_text("utf-8"), "utf-8")
    assert load_engine(f"{name}.py").url == "sqlite:///app.db"
    assert sys.modules.get(name) is before


@pytest.mark.parametrize("text", ["app.py:hello", "app.py:engine:hello", "app:hello"])
def test_a_workflow_is_the_last_part(folder: Path, text: str) -> None:
    """`APP:WORKFLOW`, with or without the engine's attribute between them."""
    assert load_workflow(text)[1].name == "hello"


def test_a_workflow_may_be_named_by_its_attribute(folder: Path) -> None:
    """`echoes` is the variable, `echo` the workflow's name; both lead to it."""
    assert load_workflow("app.py:echoes")[1] is load_workflow("app.py:echo")[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ap.py:hello", "there is no file ap.py; did you mean app.py?"),
        ("deep/app.py:hello", "there is no folder deep"),
        ("./app:hello", "write ./app.py"),
        ("nowhere:hello", "there is no module 'nowhere'"),
        ("app.py", "names no workflow; it has app.py:hello"),
        ("app.py:helo", "did you mean 'hello'?"),
        ("app.py:engine", "'engine' is an engine, not a workflow"),
        ("app.py:hello:engine", "app.py:hello is no Engine but a Workflow"),
        ("a:b:c:d", "is no workflow of an app"),
        (":hello", "is no workflow of an app"),
    ],
)
def test_a_workflow_that_is_not_there(folder: Path, text: str, said: str) -> None:
    """Each mistake in APP:WORKFLOW gets the sentence that says what to write."""
    with pytest.raises(AppRefused) as refused:
        load_workflow(text)
    assert said in str(refused.value)


@pytest.mark.parametrize(("text", "said"), BROKEN.items())
def test_an_app_that_cannot_be_imported(folder: Path, text: str, said: str) -> None:
    """File and line of the user's own code are named."""
    (folder / "bad.py").write_text(text, "utf-8")
    with pytest.raises(AppRefused) as refused:
        load_engine("bad.py")
    assert said in str(refused.value)


def test_a_dot_in_place_of_the_colon(folder: Path) -> None:
    """`app.engine` is met with `app:engine`."""
    with pytest.raises(AppRefused, match="did you mean app:engine"):
        load_engine("app.engine")


@pytest.mark.parametrize("name", ["engine", "eventstore", "triggers", "playhead"])
def test_a_file_of_our_name_is_refused(folder: Path, name: str) -> None:
    """A user's own engine.py and the like is named, with what to do."""
    (folder / f"{name}.py").touch()
    with pytest.raises(AppRefused, match=rf"^{name}\.py has the name .* my_{name}\.py"):
        load_engine("app.py")


def test_a_package_of_our_name_is_refused_and_a_plain_folder_is_not(folder: Path) -> None:
    """A folder `triggers` with Python files would be imported; one with SQL files would not."""
    (folder / "triggers").mkdir()
    (folder / "triggers" / "x.sql").touch()
    load_engine("app.py")
    (folder / "triggers" / "x.py").touch()
    with pytest.raises(AppRefused, match=r"triggers has the name .* my_triggers/"):
        check_folder(folder)


def test_our_own_packages_are_ours() -> None:
    """The tree itself is no shadow of itself."""
    check_packages()
    check_folder(Path(__file__).parents[2])
