"""Run a page of the documentation in the working folder, and hold it to what it says.

    python tests/examples/run_page.py docs/tutorial.md

Blocks are taken in order:

- `python`: run, all in one namespace; if its first line is `# name.py`, it is written to that file
  instead, and the text before it may be run by a console block
- `text` after it: what the block has printed; `...` stands for anything, and
  spaces for any number of them
- `console`: each line that begins with `$ ` is run in a shell; the lines after it are what it has
  printed, on stdout, on stderr or both; without such lines it may print anything
- any other language is left alone, and so is a block behind the comment `<!-- not run -->`

A command may end with an exit code other than 0 if the line says so: `$ false   # exit 1`.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FENCE = re.compile(
    r"(?P<skip><!-- not run -->\s*)?^```(?P<lang>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"# ([\w/]+\.(?:py|txt|toml))\n")
EXIT = re.compile(r"\s+# exit (\d+)$")
SECONDS = 120


class Block(NamedTuple):
    """A fenced block of a page."""

    line: int  # in the page, of the fence
    lang: str
    text: str


class Wrong(Exception):
    """A page that does not do what it says."""


def blocks(page: str) -> Iterator[Block]:
    """Give the blocks of a page that are to be run, in order."""
    for match in FENCE.finditer(page):
        if not match["skip"]:
            line = page.count("\n", 0, match.start("lang")) + 1
            yield Block(line, match["lang"], match["text"])


def fits(said: str, wanted: str) -> bool:
    """Tell whether an output is what the page says; `...` stands for anything."""
    parts = [re.escape(part) for part in re.split(r" *\.\.\. *", plain(wanted))]
    return re.fullmatch(".*?".join(parts), plain(said), re.DOTALL) is not None


def plain(text: str) -> str:
    """Give a text without the widths of its columns."""
    return re.sub(r" +", " ", re.sub(r" +$", "", text, flags=re.MULTILINE)).strip()


def run_page(page: str, name: str) -> int:
    """Run all blocks of a page; give how many there were."""
    space: dict[str, Any] = {"__name__": "__main__"}
    said: str | None = None
    count = 0
    for block in blocks(page):
        if block.lang == "python":
            said = None if write_file(block) else run_python(block, name, space)
        elif block.lang == "console":
            run_console(block)
        elif block.lang == "text" and said is not None:
            if not fits(said, block.text):
                raise Wrong(f"line {block.line}: the block above has printed\n{said}")
            said = None
        else:
            continue
        count += 1
    return count


def write_file(block: Block) -> bool:
    """Write the block to the file that its first line names, if it names one."""
    named = FILE.match(block.text)
    if named is None:
        return False
    path = Path(named[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, "utf-8")
    return True


def run_python(block: Block, name: str, space: dict[str, Any]) -> str:
    """Run a block; give what it printed."""
    said = io.StringIO()
    source = "\n" * block.line + block.text
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(source, name, "exec"), space)  # noqa: S102 - our own pages
    except Exception as error:
        raise Wrong(f"line {block.line}:\n{traceback.format_exc()}") from error
    return said.getvalue()


def run_console(block: Block) -> None:
    """Run each command of a block."""
    commands: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        elif commands:
            commands[-1][1].append(line)
    for command, wanted in commands:
        ends = EXIT.search(command)
        done = subprocess.run(  # noqa: S602 - our own pages
            EXIT.sub("", command), shell=True, capture_output=True, text=True, check=False,
            timeout=SECONDS,
        )  # fmt: skip
        told = f"line {block.line}: $ {command}"
        out, err = done.stdout, done.stderr
        if done.returncode != (int(ends[1]) if ends else 0):
            raise Wrong(f"{told}\nended with {done.returncode}:\n{out}{err}")
        shown = "\n".join(wanted)
        if shown.strip() and not any(fits(said, shown) for said in (out, err, err + out)):
            raise Wrong(f"{told}\nhas printed\n{out}\nand on stderr\n{err}")


if __name__ == "__main__":
    path = Path(sys.argv[1])
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - pages import what they write
    try:
        print(run_page(path.read_text("utf-8"), path.name))  # noqa: T201
    except Wrong as wrong:
        sys.exit(f"{path.name}, {wrong}")
