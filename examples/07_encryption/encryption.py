"""Values encrypted before they reach the disk, a changed key, and what is seen without one.

Needs `cryptography`: pip install cryptography. It works in a folder of its own and tidies up.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet

from playhead import Engine, Signal, StorageError, Workflow, step


class Encrypted:
    """A codec: the first of several keys encrypts, each of them decrypts.

    Any object with `encode` and `decode` from bytes to bytes is one. Keep the keys where your
    other secrets are (a key service, the environment), never beside the database.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._box = MultiFernet([Fernet(key) for key in keys])

    def encode(self, content: bytes) -> bytes:
        """Encrypt what is about to be stored."""
        return self._box.encrypt(content)

    def decode(self, content: bytes) -> bytes:
        """Decrypt what was stored; raises InvalidToken with the wrong key or changed bytes."""
        return self._box.decrypt(content)


@step
def diagnose(patient: str) -> str:
    """Give what nobody but the doctor is to read."""
    return f"{patient} has the measles"


@step
def file(diagnose: str, doctor: str) -> str:
    """Wait for the doctor's name."""
    return f"{diagnose}, says {doctor}"


visits = Workflow("visits", steps=[diagnose, Signal("doctor", str), file])


def on_disk(folder: Path, words: str) -> bool:
    """Tell whether words stand in any file of the database."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return any(words.encode() in path.read_bytes() for path in files)


def main(folder: Path) -> None:
    """Write with one key, go on with another, look without any."""
    url = f"sqlite:///{folder / 'visits.db'}"
    old, new = Fernet.generate_key(), Fernet.generate_key()

    with Engine(url, workflows=[visits], codec=Encrypted([old])) as engine:
        run = engine.start(visits, patient="Ann", key="ann-1")
        engine.run_until_idle()
    print("on the disk:", "measles" if on_disk(folder, "measles") else "nothing to read")

    # A changed key: the new one first, the old one behind it for as long as old runs are kept.
    with Engine(url, workflows=[visits], codec=Encrypted([new, old])) as engine:
        engine.signal(run.id, "doctor", "Bob")
        print("with both keys:", engine.get(run.id).result(timeout=20))

    # The chain of hashes is over what is stored: it is verified without any key.
    keyless = Engine(url)
    print("faults found without a key:", list(keyless.log.verify()))
    try:
        keyless.history(run.id)
    except StorageError as error:
        print("without a key:", str(error).replace(run.id, "RUN"))
    keyless.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        main(Path(place))
