"""A real HTTP server for the doors of webhooks: uvicorn in a thread, on loopback."""

import contextlib
import socket
import threading

import uvicorn

from eventstore import clock


@contextlib.contextmanager
def served(app):
    """Serve an ASGI app; give its address."""
    # Named TCP: only then asyncio sends at once, not 40 ms later with the next acknowledgement.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(512)
    server = uvicorn.Server(
        uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=5
        )
    )
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        pause, end = threading.Event(), clock.real_seconds() + 60
        while not server.started:
            assert clock.real_seconds() < end, "the server did not start"
            pause.wait(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()
        assert not thread.is_alive()
