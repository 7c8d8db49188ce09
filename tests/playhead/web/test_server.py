"""The socket that the daemon listens on."""

import socket

from playhead.web.server import bind


def test_answers_are_sent_at_once() -> None:
    """Without it each answer on a kept connection waited 44 ms for an acknowledgement."""
    with bind("127.0.0.1:0") as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
