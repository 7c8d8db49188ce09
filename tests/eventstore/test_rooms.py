"""The smaller rooms: lifts, places, sockets, statements."""

import os
import re
import stat

import pytest

from eventstore import open_log, wakeups
from eventstore.codec import Lifts
from eventstore.errors import StorageUnsuitable
from eventstore.sqlite import place, statements
from eventstore.testing import birth


def test_lifts_are_chained():
    """Data of version 1 is lifted to 2 and then to 3; newer or other data is left as it is."""
    lifts = Lifts()

    @lifts.register("step.done", 1)
    def name_it(data):
        return {**data, "name": "n"}

    @lifts.register("step.done", 2)
    def rename(data):
        return {"called": data["name"], "value": data["v"]}

    assert lifts.lift("step.done", 1, '{"v": 1}') == (3, '{"called":"n","value":1}')
    assert lifts.lift("step.done", 2, '{"name":"x","v":2}') == (3, '{"called":"x","value":2}')
    assert lifts.lift("step.done", 3, '{ "v" : 1 }') == (3, '{ "v" : 1 }')
    assert lifts.lift("other", 1, "{}") == (1, "{}")
    assert lifts.newest("step.done", 1) == 3


def test_one_lift_from_each_version():
    """A second lift from the same version is refused."""
    lifts = Lifts()
    lifts.register("a", 1)(lambda data: data)
    with pytest.raises(ValueError, match="already"):
        lifts.register("a", 1)(lambda data: data)


MOUNTS = """\
22 28 0:20 / /proc rw,nosuid - proc proc rw
28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 28 0:44 / /mnt/share rw - nfs4 server:/x rw
41 28 0:45 / /mnt/with\\040space rw master:2 - cifs //h/s rw
42 28 0:46 / /mnt/ssh rw - fuse.sshfs me@h: rw
43 40 0:47 / /mnt/share/local rw - ext4 /dev/vdb rw
44 28 0:48 / /mnt/guest rw - 9p tag rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "point", "kind", "shared"),
    [
        ("/home/me/log.db", "/", "ext4", False),
        ("/mnt/share/log.db", "/mnt/share", "nfs4", True),
        ("/mnt/shared/log.db", "/", "ext4", False),
        ("/mnt/share/local/log.db", "/mnt/share/local", "ext4", False),
        ("/mnt/with space/log.db", "/mnt/with space", "cifs", True),
        ("/mnt/ssh/log.db", "/mnt/ssh", "fuse.sshfs", True),
        ("/mnt/guest/a/b.db", "/mnt/guest", "9p", True),
    ],
)
def test_the_file_system_of_a_path(path, point, kind, shared):
    """Hazard 10: the longest mount point that holds the path decides."""
    assert place.filesystem(path, MOUNTS) == (point, kind)
    assert place.is_network(kind) is shared


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    """Hazard 10: a log on a share is StorageUnsuitable before any file is made."""
    monkeypatch.setattr(place, "filesystem", lambda _path, _text: ("/mnt/share", "nfs4"))
    with pytest.raises(StorageUnsuitable, match="nfs4"):
        open_log(f"sqlite:///{tmp_path}/log.db").head("s")
    assert list(tmp_path.iterdir()) == []


def test_sockets_lie_in_a_short_private_folder(path):
    """The folder is for this user alone, and a socket's path fits however long the database's."""
    folder = wakeups.socket_folder("/very" * 100 + str(path))
    assert folder is not None
    assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
    longest = folder / wakeups.socket_name("w" * 500)
    assert len(os.fsencode(longest)) <= wakeups.LONGEST_PATH


def test_a_strange_folder_is_not_trusted(path, tmp_path, monkeypatch):
    """A folder that others can write is not used; hints then stay within the process."""
    strange = tmp_path / f"playhead-{os.getuid()}"
    strange.mkdir()
    strange.chmod(0o777)
    monkeypatch.setattr(wakeups, "_bases", lambda: [str(tmp_path)])
    assert wakeups.socket_folder(str(path)) is None
    log = open_log(f"sqlite:///{path}")
    ear = log.listen("w")
    log.hint(["s"])
    assert ear.wait(5) == {"s"}
    log.close()


def test_two_logs_of_one_file_hear_each_other(path):
    """A hint goes by socket from one log to another on the same file; none is left behind."""
    one, two = open_log(f"sqlite:///{path}"), open_log(f"sqlite:///{path}")
    birth(one, "s")
    ear = two.listen("b")
    one.hint([f"s{number}" for number in range(600)])
    heard = set()
    while len(heard) < 600:
        more = ear.wait(5)
        assert more
        heard |= more
    two.close()
    assert list(wakeups.socket_folder(str(path)).iterdir()) == []
    one.hint(["s"])
    one.close()


def test_a_dead_workers_socket_is_cleared_away(path):
    """A hint to a socket without a listener removes it and goes on."""
    log = open_log(f"sqlite:///{path}")
    ear = log.listen("w")
    ear.let_go()
    log._hall.forget(ear)
    folder = wakeups.socket_folder(str(path))
    assert len(list(folder.iterdir())) == 1
    log.hint(["s"])
    assert list(folder.iterdir()) == []
    log.close()


def test_no_statement_numbers_its_values():
    """Python 3.12.0 to 3.12.3 warns of `?1` at each call, which `-W error` makes an error."""
    texts = {name: text for name, text in vars(statements).items() if isinstance(text, str)}
    assert {"STEP", "BOOK"} <= set(texts)
    assert [name for name, text in texts.items() if re.search(r"\?\d", text)] == []
