"""Ears and the folder of their sockets."""

from eventstore import wakeups


def test_the_last_ear_takes_the_folder_away(tmp_path, monkeypatch):
    """No folder of sockets is left behind; an ear that comes later makes it anew."""
    monkeypatch.setattr(wakeups, "_bases", lambda: [str(tmp_path)])
    hall = wakeups.Hall(str(tmp_path / "log.db"))
    for _ in range(2):
        first, second = hall.listen("one"), hall.listen("two")
        folder = wakeups.socket_folder(str(tmp_path / "log.db"))
        assert len(list(folder.iterdir())) == 2
        first.close()
        assert folder.exists()
        second.close()
        assert not folder.exists()
