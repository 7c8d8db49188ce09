"""Ears and the folder of their sockets."""

import tempfile

from eventstore import wakeups


def test_the_last_ear_takes_the_folder_away(monkeypatch):
    """No folder of sockets is left behind; an ear that comes later makes it anew."""
    with tempfile.TemporaryDirectory(dir="/tmp") as base:  # short: a socket's path is limited
        monkeypatch.setattr(wakeups, "_bases", lambda: [base])
        hall = wakeups.Hall(f"{base}/log.db")
        for _ in range(2):
            first, second = hall.listen("one"), hall.listen("two")
            folder = wakeups.socket_folder(f"{base}/log.db")
            assert folder is not None
            assert len(list(folder.iterdir())) == 2
            first.close()
            assert folder.exists()
            second.close()
            assert not folder.exists()
