# ruff: noqa: S607 - mount is found on the path
"""Row 5: the server's disk is full; what was acknowledged stays, and with room it goes on."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from eventstore.errors import StorageFull
from eventstore.testing import birth, fact, step
from tests.servers.binaries import account

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")


@pytest.fixture
def small(own_postgres):
    """A database on a disk of 16 MB, of which 8 are taken: its url, and the disk's folder."""
    disk = Path(f"/tmp/playhead-small-{os.getpid()}")  # noqa: S108 - the server must reach it
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        disk.rmdir()
        pytest.skip("a small file system cannot be mounted here")
    try:
        who = account()
        shutil.chown(disk, who.pw_uid, who.pw_gid)
        own_postgres.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        name = own_postgres.create()
        own_postgres.execute(f"ALTER DATABASE {name} SET TABLESPACE small")
        yield own_postgres.url(name), disk
        own_postgres.drop(name)
        own_postgres.execute("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


@needs_root
def test_a_full_disk_of_the_server_is_told_and_survived(small, log_at):
    """The append is StorageFull and leaves nothing; made larger, the same log goes on."""
    url, disk = small
    log = log_at(url)
    tip = birth(log, "s")

    def grow(tip):
        return step(log, "s", tip, fact(data=json.dumps(os.urandom(200_000).hex())))

    with pytest.raises(StorageFull, match="free some space"):  # noqa: PT012 - which one is open
        for _ in range(100):
            tip = grow(tip)
    assert log.head("s").tip == tip
    assert len(log.read("s")) == tip.version > 1
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    tip = grow(tip)
    assert [event.version for event in log.read("s")] == list(range(1, tip.version + 1))
    assert list(log.verify()) == []
