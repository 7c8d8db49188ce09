"""Webhooks over real HTTP: signed, counted once, committed before answered, bounded."""

import asyncio
import json
import re
import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import freezegun
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from eventstore import clock
from playhead import Engine, Signal, WebhookTrigger, Workflow, signal, step, webhooks
from tests.triggers.webhook.serving import served
from tests.triggers.webhook.signing import SECRETS, signed
from triggers.webhook import door

BODY = b'{"text":"hello"}'


@step
def read(body: dict) -> str:
    return body["text"]


@step
def keep(body) -> object:
    return body


reading = Workflow("reading", steps=[read])
keeping = Workflow("keeping", steps=[keep])


def engine_of(url, workflow=reading, *, scheme="standard", path="/hook", **options):
    """Make an engine with one webhook trigger."""
    options = {"secrets": [SECRETS[scheme]], **options}
    if scheme == "hmac":
        options = {"header": "X-Signature", **options}
    trigger = WebhookTrigger(path, workflow, scheme, **options)
    return Engine(url, workflows=[workflow], triggers=[trigger])


def now():
    """Give the engine's time in whole seconds."""
    return clock.now_us() // clock.SECOND


def deliver(
    url, body=BODY, scheme="standard", *, headers=None, at=None, path="/hook", **options
):
    """Deliver a body that is signed right; give the answer."""
    made = signed(scheme, body, now() if at is None else at, **options)
    return httpx.post(url + path, content=body, headers={**made, **(headers or {})}, timeout=30)


def told(engine, type_=None):
    """Give what the log tells of the engine's one trigger: types and data."""
    (name,) = engine.triggers
    events = engine.log.read(f"trigger:{name}")
    found = [(event.type, json.loads(event.data)) for event in events]
    return found if type_ is None else [data for kind, data in found if kind == type_]


def only_run(engine):
    """Give the one run that there is."""
    (row,) = engine.runs(limit=None)
    return engine.get(row.id)


@pytest.mark.parametrize("scheme", SECRETS)
def test_a_signed_delivery_starts_one_run(url, scheme):
    """Every scheme: 202 with the run's id; again: 200 with the same id; forged: 401."""
    engine = engine_of(url, scheme=scheme)
    with engine, served(webhooks(engine)) as address:
        first = deliver(address, scheme=scheme)
        again = deliver(address, scheme=scheme)
        forged = httpx.post(
            f"{address}/hook", content=BODY + b" ", headers=signed(scheme, BODY, now())
        )
        run = only_run(engine)
        assert run.result(timeout=20) == "hello"
    assert (first.status_code, first.json()) == (202, {"run": run.id, "duplicate": False})
    assert (again.status_code, again.json()) == (200, {"run": run.id, "duplicate": True})
    assert forged.status_code == 401
    assert [(type_, data.get("reason")) for type_, data in told(engine)] == [
        ("trigger.armed", None), ("trigger.fired", None), ("trigger.declined", "duplicate"),
        ("trigger.declined", "the signature is missing or wrong"),
    ]  # fmt: skip
    assert engine.history(run)[0].cause == "trigger:webhook:/hook:reading@2"


def test_an_engine_that_is_not_open_takes_deliveries(file_url):
    """The run is in the log when the answer comes; whoever works there later takes it."""
    engine = engine_of(file_url)
    with served(webhooks(engine)) as address:
        assert deliver(address).status_code == 202
    engine.run_until_idle()
    assert only_run(engine).result(timeout=20) == "hello"


def test_the_same_delivery_a_hundred_times_at_once(url):
    """100 copies at one time: one 202, 99 times 200, one id, one run."""
    engine = engine_of(url)
    headers = signed("standard", BODY, now())

    async def flood(address):
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(limits=limits, timeout=60) as client:
            posts = [
                client.post(f"{address}/hook", content=BODY, headers=headers)
                for _ in range(100)
            ]
            return await asyncio.gather(*posts)

    with engine, served(webhooks(engine)) as address:
        answers = asyncio.run(flood(address))
    assert sorted(answer.status_code for answer in answers) == [200] * 99 + [202]
    run = only_run(engine).id
    assert {answer.json()["run"] for answer in answers} == {run}
    declined = told(engine, "trigger.declined")
    assert {(data["reason"], data["facts"]["run"]) for data in declined} == {("duplicate", run)}
    assert sum(data.get("count", 1) for data in declined) == 99
    assert len(declined) == 2, "the first at once, the rest when the engine is closed"


def test_two_engines_on_one_log_start_one_run(file_url):
    """Two daemons behind one address: a delivery that both get counts once."""
    engines = [engine_of(file_url) for _ in range(2)]
    with engines[0], engines[1], ThreadPoolExecutor(16) as pool:
        with served(webhooks(engines[0])) as one, served(webhooks(engines[1])) as other:
            sent = [pool.submit(deliver, address) for address in (one, other) * 10]
            answers = [each.result(timeout=60) for each in sent]
        assert only_run(engines[0]).result(timeout=20) == "hello"
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    assert len({answer.json()["run"] for answer in answers}) == 1


def test_a_disk_that_is_not_there_answers_503(tmp_path):
    """Nothing is acknowledged before it is stored; the redelivery starts the one run."""
    engine = engine_of(f"sqlite:///{tmp_path / 'mount' / 'log.db'}")
    with served(webhooks(engine)) as address:
        first = deliver(address)
        assert (first.status_code, first.headers["retry-after"]) == (503, "5")
        (tmp_path / "mount").mkdir()
        assert [deliver(address).status_code for _ in range(3)] == [202, 200, 200]
    assert len(engine.runs(limit=None)) == 1


@pytest.mark.slow
def test_a_database_that_somebody_holds_answers_503(file_url, tmp_path):
    """Locked for longer than the log waits: all who wait hear 503 within one such wait."""
    engine = engine_of(file_url)
    with served(webhooks(engine)) as address, ThreadPoolExecutor(6) as pool:
        assert deliver(address, msg="before").status_code == 202
        other = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        begun = clock.real_seconds()
        answers = list(pool.map(lambda n: deliver(address, msg=f"{n}"), range(6)))
        assert clock.real_seconds() - begun < 25
        other.rollback()
        other.close()
        assert {(one.status_code, one.headers["retry-after"]) for one in answers} == {
            (503, "5")
        }
        assert len(engine.runs(limit=None)) == 1
        assert [deliver(address, msg="0").status_code for _ in range(2)] == [202, 200]
    assert len(engine.runs(limit=None)) == 2


SERVE = """
import os, pathlib, socket, sys
import uvicorn
from app import engine
from playhead import webhooks

inner, here = webhooks(engine), pathlib.Path(sys.argv[1])

async def app(scope, receive, send):
    async def cut(message):
        if message["type"] == "http.response.start" and (here / "cut").exists():
            os._exit(9)
        await send(message)
    await inner(scope, receive, cut)

listening = socket.create_server(("127.0.0.1", 0))
(here / "port.tmp").write_text(str(listening.getsockname()[1]))
(here / "port.tmp").rename(here / "port")
uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None)).run([listening])
"""
APP = """
from playhead import Engine, WebhookTrigger, Workflow, step

@step
def read(body: dict) -> str:
    return body["text"]

reading = Workflow("reading", steps=[read])
engine = Engine(
    {url!r}, workflows=[reading],
    triggers=[WebhookTrigger("/hook", reading, secrets=[{secret!r}])],
)
"""


@pytest.mark.slow
def test_killed_between_commit_and_answer(file_url, tmp_path, program, until):
    """The sender hears nothing and sends again: it is given the run that was committed."""
    (tmp_path / "app.py").write_text(APP.format(url=file_url, secret=SECRETS["standard"]))
    port = tmp_path / "port"

    def serve():
        port.unlink(missing_ok=True)
        made = program(SERVE, tmp_path)
        until(port.exists)
        return made, f"http://127.0.0.1:{port.read_text()}"

    (tmp_path / "cut").touch()
    first, address = serve()
    with pytest.raises(httpx.RemoteProtocolError):
        deliver(address)
    assert first.finish()[0] == 9
    (tmp_path / "cut").unlink()
    run = only_run(engine_of(file_url))
    second, address = serve()
    answer = deliver(address)
    second.kill()
    assert (answer.status_code, answer.json()) == (200, {"run": run.id, "duplicate": True})


@pytest.mark.slow
def test_the_daemon_takes_deliveries(file_url, tmp_path, until):
    """`playhead serve --http`: stored, answered, done by the same process, and drained."""
    (tmp_path / "app.py").write_text(APP.format(url=file_url, secret=SECRETS["standard"]))
    command = [sys.executable, "-m", "playhead", "serve", "app.py", "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            told_lines = iter(daemon.stderr.readline, "")
            found = (re.search(r"(http://[\d.:]+)/", line) for line in told_lines)
            address = next(match[1] for match in found if match)
            answers = [deliver(address) for _ in range(2)]
            run = only_run(engine_of(file_url))
            until(lambda: run.status == "succeeded")
            lost = [deliver(address, path=path).status_code for path in ("/", "/hook/")]
        finally:
            daemon.terminate()
            daemon.communicate(timeout=60)
    assert [answer.status_code for answer in answers] == [202, 200]
    assert {answer.json()["run"] for answer in answers} == {run.id}
    assert lost == [404, 404]
    assert daemon.returncode == 0


def test_a_secret_is_changed_without_losing_a_delivery(url):
    """Old and new hold side by side; when the old one is taken away, it is refused."""
    new = "whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcyE="
    both = engine_of(url, secrets=[new, SECRETS["standard"]])
    with served(webhooks(both)) as address:
        assert deliver(address, msg="1").status_code == 202
        assert deliver(address, msg="2", secret=new).status_code == 202
    after = engine_of(url, secrets=[new])
    with served(webhooks(after)) as address:
        assert deliver(address, msg="3").status_code == 401
        assert deliver(address, msg="4", secret=new).status_code == 202
    assert [type_ for type_, _ in told(after)].count("trigger.armed") == 1


@pytest.mark.parametrize("scheme", ["standard", "stripe", "slack"])
def test_a_recorded_delivery_does_not_hold_for_long(file_url, scheme):
    """Played again after six minutes on the engine's clock: 401, also under its own id."""
    start = datetime(2030, 1, 1, tzinfo=UTC)
    # The server begins and ends on the frozen clock: its loop must not see the change.
    with freezegun.freeze_time(start, real_asyncio=True) as frozen:
        engine = engine_of(file_url, scheme=scheme)
        with served(webhooks(engine)) as address:
            at = now()
            assert deliver(address, scheme=scheme, at=at).status_code == 202
            frozen.tick(timedelta(minutes=5))
            assert deliver(address, scheme=scheme, at=at).status_code == 200
            frozen.tick(timedelta(minutes=1))
            late = deliver(address, scheme=scheme, at=at)
            early = deliver(address, scheme=scheme, at=now() + 301)
    assert (late.status_code, early.status_code) == (401, 401)
    assert late.content == early.content
    assert [data["reason"] for data in told(engine, "trigger.declined")] == [
        "duplicate", "signed too long ago, or too far ahead",
    ]  # fmt: skip
    assert len(engine.runs(limit=None)) == 1


def test_github_played_again_under_another_delivery_id(url):
    """The delivery id is not signed: the same body is the same delivery, whatever it says."""
    engine = engine_of(url, scheme="github")
    with served(webhooks(engine)) as address:
        first = deliver(address, scheme="github", delivery="1")
        replayed = deliver(address, scheme="github", delivery="2")
        other = deliver(address, scheme="github", delivery="3", event="issues")
    assert (first.status_code, replayed.status_code, other.status_code) == (202, 200, 202)
    assert replayed.json()["run"] == first.json()["run"]


def test_an_empty_body_is_never_a_duplicate(url):
    """Nothing tells two empty deliveries apart or makes them one: each is a firing."""
    engine = engine_of(url, keeping, scheme="github")
    with served(webhooks(engine)) as address:
        answers = [deliver(address, b"", "github", event="ping") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len(engine.runs(limit=None)) == 3


def test_a_forged_delivery_of_another_day_is_another_event(url):
    """One a day for three days, nothing between: each is told, for it came anew."""
    engine = engine_of(url)
    (name,) = engine.triggers
    hook = engine.doorways.doors[name]
    with freezegun.freeze_time("2026-01-01") as frozen:
        for _ in range(3):
            assert engine.triggers[name].receive(hook, [], b"x").status == 401
            frozen.tick(timedelta(days=1))
            hook.flush(clock.now_us())
    assert [data["key"] for data in told(engine, "trigger.declined")] == [
        f"unsigned@2026-01-0{day}T00:00:00Z" for day in (1, 2, 3)
    ]


def test_who_cannot_sign_learns_nothing_and_writes_next_to_nothing(file_url, tmp_path):
    """500 forged deliveries: one plain answer, a handful of events, none of their bytes."""
    engine = engine_of(file_url, secrets=[SECRETS["standard"], "whsec_bmV3"])
    good = signed("standard", BODY, now())
    forged = [
        {},
        {**good, "webhook-signature": "v1,nonsense"},
        {**good, "webhook-id": "another"},
        {**good, "webhook-timestamp": "1"},
        {"webhook-signature": good["webhook-signature"]},
    ]
    with served(webhooks(engine)) as address, httpx.Client() as client:
        answers = [
            client.post(f"{address}/hook", content=b"PLANTED %d" % n, headers=forged[n % 5])
            for n in range(500)
        ]
    assert {(one.status_code, one.content) for one in answers} == {
        (401, b'{"error":"not signed as it has to be"}')
    }
    declined = told(engine, "trigger.declined")
    assert {data["key"].partition("@")[0] for data in declined} == {"unsigned"}
    assert len(declined) < 20
    engine.log.close()
    files = [path for path in tmp_path.glob("log.db*") if path.is_file()]
    assert files
    assert not any(b"PLANTED" in path.read_bytes() for path in files)


def test_a_flood_is_counted_where_nothing_polls(url):
    """An engine that is never opened tells how many were forged, a minute later with the next."""
    engine = engine_of(url)

    async def forge(count):
        transport = httpx.ASGITransport(webhooks(engine))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return {
                (await client.post("/hook", content=b"x")).status_code for _ in range(count)
            }

    with freezegun.freeze_time("2030-01-01", real_asyncio=True) as frozen:
        assert asyncio.run(forge(30)) == {401}
        frozen.tick(61)
        assert asyncio.run(forge(10)) == {401}
    counts = [data.get("count", 1) for data in told(engine, "trigger.declined")]
    assert counts == [1, 30]


def test_headers_that_come_twice_or_are_no_ascii(url):
    """Two signatures in two headers are refused; odd bytes in others are text in the facts."""
    engine = engine_of(url)
    good = [(k.encode(), v.encode()) for k, v in signed("standard", BODY, now()).items()]
    with served(webhooks(engine)) as address:
        post = f"{address}/hook"
        twice = httpx.post(post, content=BODY, headers=[*good, good[-1]])
        ids = httpx.post(post, content=BODY, headers=[*good, (b"webhook-id", b"other")])
        odd = httpx.post(post, content=BODY, headers=[*good, (b"X-Name", b"\xe9\xff")])
        shout = [(name.upper(), value) for name, value in good]
        upper = httpx.post(post, content=BODY, headers=shout)
        wrong = httpx.post(post, content=BODY, headers=[(b"webhook-signature", b"v1,\xff\xe9")])
    codes = [one.status_code for one in (twice, ids, odd, upper, wrong)]
    assert codes == [401, 401, 202, 200, 401]
    (fired,) = told(engine, "trigger.fired")
    assert fired["facts"]["headers"]["x-name"] == "éÿ"
    assert fired["facts"]["headers"]["webhook-signature"] == "[redacted]"


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"a":NaN}', b"{", b"\xff\xfe", b'{"a":' * 99_999]
)
def test_a_body_that_is_not_what_it_says(url, body):
    """Signed right, said to be JSON, and none: 400, and the log has the reason, once."""
    engine = engine_of(url, scheme="github")
    headers = {"Content-Type": "application/json"}
    with served(webhooks(engine)) as address:
        answers = [deliver(address, body, "github", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400] * 3
    assert "the body is no JSON" in answers[0].json()["error"]
    (declined,) = told(engine, "trigger.declined")
    assert declined["reason"] == "the body cannot be read"
    assert declined["facts"] == {"error": answers[0].json()["error"]}
    assert engine.runs() == []


@dataclass
class Order:
    """What a delivery is to hold."""

    number: int


@step
def ship(body: Order) -> int:
    return body.number


def test_a_workflow_that_refuses_the_inputs(url):
    """422 with the reason; the key has not counted, so that a mended delivery starts a run."""
    engine = engine_of(url, Workflow("shipping", steps=[ship]))
    with engine, served(webhooks(engine)) as address:
        refused = deliver(address, b'{"number":"seven"}')
        assert refused.status_code == 422
        assert "number" in refused.json()["error"]
        mended = deliver(address, b'{"number":7}')
        assert mended.status_code == 202
        assert only_run(engine).result(timeout=20) == 7
    (declined,) = told(engine, "trigger.declined")
    assert declined["key"] == "msg_1"
    assert "ValueRefused" in declined["reason"]


def test_a_mapping_that_raises_tells_the_sender_nothing(url):
    """What a user's own code has raised is in the log alone."""

    def broken(firing):
        raise KeyError("the password is hunter2")

    engine = engine_of(url, input=broken)
    with served(webhooks(engine)) as address:
        answer = deliver(address)
    assert answer.status_code == 422
    assert "hunter2" not in answer.text
    assert "hunter2" in told(engine, "trigger.declined")[0]["reason"]


def test_input_sees_body_and_headers(url):
    """A firing has the parsed body, the headers in small letters, the key and the moment."""
    seen = []

    def inputs(firing):
        seen.append(firing)
        return {"body": {"text": firing.facts["headers"]["x-who"]}}

    engine = engine_of(url, input=inputs)
    at = now() - 7
    with engine, served(webhooks(engine)) as address:
        deliver(address, headers={"X-Who": "ann"}, at=at)
        assert only_run(engine).result(timeout=20) == "ann"
    assert seen[0].facts["body"] == {"text": "hello"}
    assert seen[0].facts["headers"]["webhook-signature"] == "[redacted]"
    assert (seen[0].key, seen[0].at) == ("msg_1", datetime.fromtimestamp(at, UTC))


@pytest.mark.parametrize(
    ("kind", "body", "given"),
    [(bytes, b"\xff\x00", b"\xff\x00"), (bytes, b'{"a": 1}', b'{"a": 1}'),
     (str, b'{"a": 1}', '{"a": 1}'), (dict, b'{"a": 1}', {"a": 1}), (list, b"[1]", [1])],
)  # fmt: skip
def test_an_input_may_want_the_body_raw(url, kind, body, given):
    """An input annotated bytes or str gets what was sent; any other, the JSON."""

    def raw(body):
        assert body == given, body
        return type(body).__name__

    raw.__annotations__ = {"body": kind, "return": str}
    engine = engine_of(url, Workflow("raw", steps=[step(raw)]), scheme="github")
    with engine, served(webhooks(engine)) as address:
        assert deliver(address, body, "github").status_code == 202
        assert only_run(engine).result(timeout=20) == kind.__name__


def test_a_large_body_is_in_the_log_once(file_url, tmp_path):
    """The run has it whole; the trigger's event has its size and digest."""
    engine = engine_of(file_url)
    body = json.dumps({"text": "x" * 500_000}).encode()
    with engine, served(webhooks(engine)) as address:
        assert deliver(address, body).status_code == 202
        assert only_run(engine).result(timeout=20) == "x" * 500_000
    (fired,) = told(engine, "trigger.fired")
    assert fired["facts"]["body"]["bytes"] > 500_000
    assert len(json.dumps(fired)) < 2000


def test_a_signal_is_sent_by_a_delivery(url):
    """`signal(name, to=…)`: the run that waits goes on; a copy changes nothing."""
    waiting = Workflow(
        "waiting",
        steps=[Signal("approval", dict), step(lambda approval: approval["by"], name="by")],
    )
    start = signal("approval", to=lambda firing: firing.facts["body"]["run"])
    trigger = WebhookTrigger("/hook", start, secrets=[SECRETS["standard"]], name="approvals")
    engine = Engine(url, workflows=[waiting], triggers=[trigger])
    with engine, served(webhooks(engine)) as address:
        run = engine.start(waiting)
        body = json.dumps({"run": run.id, "by": "ann"}).encode()
        answers = [deliver(address, body) for _ in range(2)]
        assert run.result(timeout=20) == "ann"
        nobody = deliver(address, b'{"run":"01m0000000000000000000nobody"}', msg="msg_2")
    assert [answer.status_code for answer in answers] == [202, 200]
    assert {answer.json()["run"] for answer in answers} == {run.id}
    assert nobody.status_code == 422


def test_a_shut_door_answers_503(url):
    """Paused: nothing starts, the sender is to come again; the log says so once, then how often."""
    engine = engine_of(url)
    (name,) = engine.triggers
    with served(webhooks(engine)) as address:
        assert deliver(address, msg="before").status_code == 202
        engine.doorways.doors[name].pause(by="ann")
        shut = [deliver(address) for _ in range(3)]
        known = deliver(address, msg="before")
        engine.doorways.doors[name].resume(by="ann")
        after = deliver(address)
    assert {(one.status_code, one.headers["retry-after"]) for one in shut} == {(503, "60")}
    assert (known.status_code, after.status_code) == (200, 202)
    declined = [
        (data["reason"], data["key"], data.get("count", 1))
        for data in told(engine, "trigger.declined")
    ]
    assert declined == [
        ("paused", "msg_1", 1),
        ("duplicate", "before", 1),
        ("paused", "msg_1", 2),
    ]


def test_a_newer_revision_takes_over(file_url):
    """The engine with the older options answers 503, the one with the newer ones takes it."""
    old = engine_of(file_url)
    old.run_until_idle()
    new = engine_of(file_url, limit=99)
    new.run_until_idle()
    with served(webhooks(old)) as before, served(webhooks(new)) as behind:
        assert deliver(before).status_code == 503
        assert deliver(behind).status_code == 202
        assert deliver(before).status_code == 200


def test_slack_is_answered_before_it_delivers(url):
    """The challenge comes back if it is signed; it starts nothing."""
    engine = engine_of(url, scheme="slack")
    body = b'{"type":"url_verification","challenge":"c1"}'
    with served(webhooks(engine)) as address:
        answer = deliver(address, body, "slack")
        forged = httpx.post(f"{address}/hook", content=body)
    assert (answer.status_code, answer.json()) == (200, {"challenge": "c1"})
    assert forged.status_code == 401
    assert engine.runs() == []


def test_other_methods_and_other_paths(url):
    """405 names what is allowed; a path that no trigger has is 404, with a slash behind it too."""
    engine = engine_of(url)
    with served(webhooks(engine)) as address:
        got = httpx.get(f"{address}/hook")
        lost = [deliver(address, path=path).status_code for path in ("/", "/hook/", "/Hook")]
    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    assert lost == [404, 404, 404]


def test_it_mounts_into_an_app_of_ones_own(url):
    """Below `/hooks` of a Starlette app; the trigger's path is what comes behind."""
    engine = engine_of(url)
    app = Starlette(routes=[Mount("/hooks", webhooks(engine))])
    with served(app) as address:
        assert deliver(address, path="/hooks/hook").status_code == 202
        assert deliver(address).status_code == 404


# Bodies without end.


def stream(size, sent):
    """Give a gigabyte in pieces, and note how much was asked for."""
    for _ in range(1_000_000_000 // size):
        sent.append(size)
        yield b"x" * size


@pytest.mark.parametrize("announced", [True, False])
def test_a_gigabyte_is_refused_at_once(url, announced):
    """Announced or streamed: 413, and the sender is cut off long before it is through."""
    engine = engine_of(url)
    sent = []
    headers = {"Content-Length": "1000000000"} if announced else {}
    with served(webhooks(engine)) as address:
        content = stream(100_000, sent)
        answer = httpx.post(f"{address}/hook", content=content, headers=headers, timeout=60)
        assert deliver(address).status_code == 202, "it goes on"
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert "more than 1048576 bytes" in answer.json()["error"]
    assert sum(sent) < 200_000_000
    (declined,) = told(engine, "trigger.declined")
    assert declined["reason"] == answer.json()["error"]


def test_the_limit_is_exact(url):
    """A body of `limit` bytes is read, one of a byte more is not, announced or not."""
    engine = engine_of(url, keeping, scheme="github", limit=100)
    with served(webhooks(engine)) as address:
        assert deliver(address, b"x" * 100, "github").status_code == 202
        assert deliver(address, b"x" * 101, "github").status_code == 413
        pieces = httpx.post(f"{address}/hook", content=iter([b"x" * 50, b"x" * 51]))
        assert pieces.status_code == 413


def asked(address, *parts):
    """Send raw parts; give what is answered until the server hangs up."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as wire:
        for part in parts:
            wire.sendall(part)
        answer = b""
        while True:
            piece = wire.recv(4096)
            if not piece:
                return answer
            answer += piece


HEAD = b"POST /hook HTTP/1.1\r\nHost: x\r\n"


def test_a_body_that_never_comes_is_408(url, monkeypatch):
    """Announced and not sent, or sent a byte now and then: 408 when the real deadline is over."""
    monkeypatch.setattr(door, "DEADLINE", 0.3)
    engine = engine_of(url, limit=1000)
    with served(webhooks(engine)) as address:
        silent = asked(address, HEAD + b"Content-Length: 100\r\n\r\n")
        slow = asked(address, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")
        monkeypatch.setattr(door, "DEADLINE", 60)
        assert deliver(address).status_code == 202, "it goes on"
    assert silent.startswith(b"HTTP/1.1 408 ")
    assert slow.startswith(b"HTTP/1.1 408 ")
    (declined,) = told(engine, "trigger.declined")
    assert declined["reason"] == "the body did not come in time"


def test_bodies_share_a_bounded_room(file_url, monkeypatch, until):
    """When those that are here fill the memory given to them, one more is to come again."""
    monkeypatch.setattr(door, "ROOM", 1)  # then it is twice the largest body
    engine = engine_of(file_url, limit=1000)
    with served(webhooks(engine)) as address:
        host, port = address.removeprefix("http://").split(":")
        wires = [socket.create_connection((host, int(port)), timeout=20) for _ in range(2)]
        for wire in wires:
            wire.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 999)
        full = until(lambda: (one := deliver(address)).status_code == 503 and one)
        for wire in wires:
            wire.close()
        until(lambda: deliver(address).status_code in (200, 202))
    assert full.headers["retry-after"] == "5"
    assert told(engine, "trigger.declined")[0]["reason"] == "too many deliveries at one time"
    assert len(engine.runs(limit=None)) == 1


def test_an_absurd_length_is_413(url):
    """A length of thousands of digits is more than the limit, and breaks nothing."""
    engine = engine_of(url)
    with served(webhooks(engine)) as address:
        answer = asked(address, HEAD + b"Content-Length: " + b"9" * 18 + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_sender_that_goes_away_leaves_nothing(url, until):
    """Cut off in the middle of the body: no answer, no event, no run."""
    engine = engine_of(url)
    with served(webhooks(engine)) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as wire:
            wire.sendall(HEAD + b"Content-Length: 100\r\n\r\nhalf")
        assert deliver(address).status_code == 202
    assert told(engine, "trigger.declined") == []
    assert len(engine.runs(limit=None)) == 1


def test_the_loop_is_not_blocked_by_the_database(file_url, tmp_path):
    """While one delivery waits for a lock, the same server answers others at once."""
    engine = engine_of(file_url)
    with served(webhooks(engine)) as address, ThreadPoolExecutor(1) as pool:
        assert deliver(address, msg="before").status_code == 202
        other = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(deliver, address)
        begun = clock.real_seconds()
        for _ in range(20):
            assert httpx.get(f"{address}/hook").status_code == 405
        assert clock.real_seconds() - begun < 5
        assert not waiting.done()
        other.rollback()
        other.close()
        assert waiting.result(timeout=30).status_code == 202
