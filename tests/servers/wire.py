"""The PostgreSQL wire, as far as a proxy must know it: where a message begins and what it is."""

import struct
from collections.abc import Iterator

CANCEL, SSL, GSS = (
    80_877_102,
    80_877_103,
    80_877_104,
)  # what a first message may ask for instead
NO = b"N"  # the answer to SSL and GSS: not here, go on in plain text
CANCEL_SIZE = 16


class Messages:
    """Bytes of one direction, cut into whole messages of one type byte, four of length, a body."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, given: bytes) -> Iterator[bytes]:
        """Give the messages that have become whole."""
        self._left += given
        while len(self._left) >= 5:
            size = 1 + _length(self._left[1:5])
            if len(self._left) < size:
                return
            message, self._left = self._left[:size], self._left[size:]
            yield message


class Statements:
    """What a client asks for, also by the names that it has given to statements before."""

    def __init__(self) -> None:
        self._named: dict[bytes, str] = {}

    def asked(self, message: bytes) -> str | None:
        """Give the SQL that a client's message has executed (Query, Bind), or None."""
        kind, body = message[:1], message[5:]
        if kind == b"Q":
            return body.rstrip(b"\0").decode("utf-8", "replace")
        if kind == b"P":  # a name, then the statement
            name, said, _ = body.split(b"\0", 2)
            self._named[name] = said.decode("utf-8", "replace")
        if kind == b"B":  # of a portal, then of a statement
            return self._named.get(body.split(b"\0", 2)[1])
        return None


def is_end_of(message: bytes, tag: str) -> bool:
    """Tell whether a server's message says that a statement was carried out or has failed."""
    kind, body = message[:1], message[5:]
    return kind == b"E" or (kind == b"C" and body.startswith(tag.encode("ascii")))


def key(message: bytes) -> tuple[int, bytes] | None:
    """Give the pid and the secret by which a client may cancel (BackendKeyData), or None."""
    if message[:1] != b"K":
        return None
    return _length(message[5:9]), message[9:]


def with_pid(message: bytes, pid: int) -> bytes:
    """Give a message of BackendKeyData with another pid in it."""
    return message[:5] + struct.pack("!i", pid) + message[9:]


def first_code(message: bytes) -> int:
    """Give what a client's first message asks for: a protocol version, SSL, GSS or CANCEL."""
    return _length(message[4:8])


def cancelling(message: bytes, pids: dict[int, int]) -> bytes:
    """Give a request to cancel with the true pid in place of one that a proxy made up."""
    pid = _length(message[8:12])
    return message[:8] + struct.pack("!i", pids.get(pid, pid)) + message[12:]


def first_size(begun: bytes) -> int | None:
    """Give the length of a client's first message, which has no type byte; None: not told yet."""
    return _length(begun[:4]) if len(begun) >= 4 else None


def _length(four: bytes) -> int:
    return int(struct.unpack("!i", four)[0])
