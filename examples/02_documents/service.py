"""A small HTTP service that finds names in texts, and can be told to fail, to hang or to die.

    POST /entities   {"text": ...} -> {"names": [...]}   capitalised names, frequent ones first
    POST /translate  {"text": ...} -> {"text": ...}      from rot13 into English
    GET  /calls                    -> every call so far: path, key (Idempotency-Key), mode
    PUT  /mode       {"/entities": "ok" | "fail" | "hang", ...}
    POST /die        ends the process at once

It stands for any service that costs money: so that it can prove how often it was asked, it
remembers each call at the moment it comes in.
"""

import argparse
import codecs
import json
import os
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = re.compile(r"\b[A-Z][a-z]{2,}(?: [A-Z][a-z]{2,})*\b")
MODES = ("ok", "fail", "hang")
MOST = 12  # names in an answer


def names_in(text: str) -> list[str]:
    """Give the capitalised names of a text that stand inside sentences, most frequent first."""
    inside = (
        m.group() for m in NAME.finditer(text) if text[: m.start()].rstrip(" ")[-1:].isalnum()
    )
    return [name for name, _ in Counter(inside).most_common(MOST)]


WORK = {
    "/entities": lambda asked: {"names": names_in(asked["text"])},
    "/translate": lambda asked: {"text": codecs.encode(asked["text"], "rot13")},
}


class Memory:
    """What the service was asked, and how it is to answer."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.calls: list[dict[str, str]] = []
        self.modes = dict.fromkeys(WORK, "ok")

    def asked(self, path: str, key: str) -> str:
        """Note a call; wait while the path is told to hang; give the mode to answer in."""
        with self.changed:
            mode = self.modes[path]
            self.calls.append({"path": path, "key": key, "mode": mode})
            self.changed.wait_for(lambda: self.modes[path] != "hang")
        return "fail" if mode == "hang" else mode

    def obey(self, modes: dict[str, str]) -> None:
        """Answer as told from now on."""
        with self.changed:
            self.modes.update(modes)
            self.changed.notify_all()


class Service(ThreadingHTTPServer):
    """The server and its memory."""

    def __init__(self, port: int) -> None:
        self.memory = Memory()
        super().__init__(("127.0.0.1", port), Call)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a caller that has gone away: callers are killed here."""


class Call(BaseHTTPRequestHandler):
    """One call."""

    server: Service

    def do_GET(self) -> None:
        """Tell of the calls so far."""
        self.answer(200, self.server.memory.calls) if self.path == "/calls" else self.unknown()

    def do_PUT(self) -> None:
        """Take orders."""
        modes = self.asked()
        if self.path != "/mode" or not set(modes) <= set(WORK):
            self.unknown()
        elif not set(modes.values()) <= set(MODES):
            self.answer(400, {"error": f"a mode is one of {', '.join(MODES)}"})
        else:
            self.server.memory.obey(modes)
            self.answer(200, self.server.memory.modes)

    def do_POST(self) -> None:
        """Work, or fail, as told."""
        asked = self.asked()
        if self.path == "/die":
            os._exit(1)
        if self.path not in WORK:
            self.unknown()
            return
        mode = self.server.memory.asked(self.path, self.headers.get("Idempotency-Key", ""))
        if mode == "fail":
            self.answer(503, {"error": "told to fail"})
        else:
            self.answer(200, WORK[self.path](asked))

    def asked(self) -> Any:
        """Read what was sent."""
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")

    def answer(self, status: int, doc: Any) -> None:
        """Send JSON."""
        body = json.dumps(doc).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def unknown(self) -> None:
        """Refuse."""
        self.answer(404, {"error": f"nothing is known of {self.command} {self.path}"})

    def log_message(self, *_: Any) -> None:
        """Keep quiet; `GET /calls` tells."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8723)
    service = Service(parser.parse_args().port)
    print(f"listening on http://127.0.0.1:{service.server_port}", flush=True)
    service.serve_forever()
