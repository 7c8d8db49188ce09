"""A program that sings: canaries in all that a run takes, gives, raises, logs and is told.

Started by test_canaries.py with the database's url, a server's url, and whether the canaries are
declared as secrets. It says `sung` when all is written, and ends when its stdin does.
"""

import base64
import hashlib
import hmac
import logging
import os
import sys

import httpx
from tenacity import retry, stop_after_attempt, wait_none

import engine.repository
from playhead import Context, Engine, Secrets, Signal, WebhookTrigger, Workflow, step

DECLARED = [name for name in os.environ if name.startswith("CANARY_")]
SONG = {name.removeprefix("CANARY_").lower(): os.environ[name] for name in DECLARED}
UNDECLARED = {name: os.environ[f"BIRD_{name}"] for name in ("field", "query", "cookie", "hook")}


@step
@retry(stop=stop_after_attempt(2), wait=wait_none())
def fetch(ctx: Context, client: httpx.Client, url: str, given: dict) -> dict:
    """Say canaries in every way that a step can."""
    ctx.log.warning("asks with %s", SONG["log"], extra={"song": SONG["extra"]})
    ctx.progress(0.5, f"at {SONG['progress']}")
    basic = base64.b64encode(f"app:{SONG['basic']}".encode()).decode()
    answer = client.get(
        url, params={"key": SONG["url"], "token": UNDECLARED["query"]},
        headers={"Authorization": f"Basic {basic}", "Cookie": f"sid={UNDECLARED['cookie']}"},
    )  # fmt: skip
    if ctx.attempt == 1:
        try:
            {}[SONG["chained"]]
        except KeyError as error:
            request = f"{answer.request.url} {answer.request.headers.raw} {given}"
            raise ValueError(f"refused {SONG['message']}: {request}, {basic}") from error
    return {"api_key": UNDECLARED["field"], "said": SONG["output"], "headers": dict(given)}


@step
def swell(fetch: dict) -> list[str]:
    """Give a value so large that it is kept apart."""
    return [SONG["blob"]] * 5000


@step
def crash(swell: list[str], word: dict) -> str:
    """Fail for good."""
    raise RuntimeError(f"gave up on {SONG['failure']} with {word}")


@step
def read(body: dict) -> dict:
    """Take in what was delivered."""
    return body


singing = Workflow("singing", steps=[fetch, swell, crash, Signal("word")])
hooked = Workflow("hooked", steps=[read])


def sing(url: str, server: str, *, declared: bool) -> None:
    """Run it all, and wait until the files have been looked at."""
    lines = logging.StreamHandler()
    shown = "%(name)s %(message)s %(song)s"
    lines.setFormatter(logging.Formatter(shown, defaults={"song": ""}))
    logging.basicConfig(level=logging.DEBUG, handlers=[lines])
    engine.repository.SNAPSHOT_EVERY = 1  # so that a copy of each fold is kept
    hook = WebhookTrigger("/hook", hooked, "hmac", secrets=["shared"], name="hook")
    options = {"secrets": Secrets(env=DECLARED)} if declared else {}
    made = Engine(url, workflows=[singing, hooked], triggers=[hook], **options)
    made.observe_progress(lambda *told: sys.stderr.write(f"{told}\n"))
    given = {"password": UNDECLARED["field"], "note": SONG["input"]}
    run = made.start(
        singing, url=server, given=given, key=f"k-{SONG['key']}",
        tags={"who": SONG["tag"], "token": UNDECLARED["field"]},
    )  # fmt: skip
    again = made.start(singing, url=server, given=given, key=f"k-{SONG['key']}")
    assert again.id == run.id, "the same key with the same inputs is the same run"
    assert [row.id for row in made.runs(key=f"k-{SONG['key']}")] == [run.id]
    assert [row.id for row in made.runs(tags={"who": SONG["tag"]})] == [run.id]
    for _ in range(2):
        made.signal(run, "word", {"word": SONG["payload"]}, key=SONG["signal"])
    door = made.doorways.doors["hook"]
    body = f'{{"said":"{SONG["body"]}","password":"{UNDECLARED["hook"]}"}}'.encode()
    signature = hmac.new(b"shared", body, hashlib.sha256).hexdigest().encode()
    headers = [(b"content-type", b"application/json"), (b"x-signature", signature)]
    headers.append((b"x-trace", SONG["header"].encode()))
    for status in (202, 200):
        assert hook.receive(door, headers, body).status == status
    hook.turn_away(door, 413, f"too large: {SONG['reason']}")
    made.run_until_idle()
    assert run.status == "failed", run.status
    made.cancel(made.start(singing, url=server, given={}), reason=f"for {SONG['steered']}")
    sys.stdout.write(f"sung {run.id}\n")
    sys.stdout.flush()
    sys.stdin.read()
    made.close()


if __name__ == "__main__":
    sing(sys.argv[1], sys.argv[2], declared=sys.argv[3] == "declared")
