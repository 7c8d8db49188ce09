"""The engine in a web application: it lives as long as the application does.

python examples/06_embedding/in_starlette.py          # plays a customer and a bank, ends by itself
uvicorn --app-dir examples/06_embedding in_starlette:app
"""

import asyncio
import base64
import contextlib
import hmac
import json
import os
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import shop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from playhead import WebhookTrigger, signal, webhooks

SECRET = os.environ.get("BANK_SECRET", "whsec_b25seSBmb3IgcGxheWluZw==")
payments = WebhookTrigger(
    "/payments",
    signal("paid", to=lambda firing: firing.facts["body"]["run"]),
    secrets=[SECRET],
    name="payments",
)
engine = shop.make(payments)


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Open the engine when the application starts, close it when it ends."""
    async with engine:
        yield


async def order(request: Request) -> Response:
    """Take an order: it is on disk when this is answered, and sent twice it counts once."""
    wanted = await request.json()
    key = request.headers.get("idempotency-key")
    run = engine.start(shop.orders, order=wanted["order"], key=key)
    return JSONResponse({"run": run.id}, 202, {"Location": f"/orders/{run.id}"})


async def result(request: Request) -> Response:
    """Wait for the end of a run, however long it takes; the loop goes on meanwhile."""
    return JSONResponse({"result": await engine.get(request.path_params["run"])})


async def ready(_request: Request) -> Response:
    """Tell whether the engine is ready; this asks no database."""
    health = engine.health()
    return JSONResponse({"reason": health.reason}, 200 if health.ready else 503)


app = Starlette(
    routes=[
        Route("/orders", order, methods=["POST"]),
        Route("/orders/{run}", result),
        Route("/readyz", ready),
        Mount("/hooks", webhooks(engine)),  # the bank delivers at /hooks/payments
    ],
    lifespan=lifespan,
)


def delivery(run: str, amount: float) -> tuple[bytes, dict[str, str]]:
    """Write and sign what a bank would send, by the scheme of Standard Webhooks."""
    body = json.dumps({"run": run, "amount": amount}).encode()
    name, now = f"payment-{run}", str(int(datetime.now(UTC).timestamp()))  # noqa: TID251 - the bank has its own clock
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{name}.{now}.".encode() + body, "sha256")
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return body, {
        "webhook-id": name, "webhook-timestamp": now, "webhook-signature": signature,
    }  # fmt: skip


async def visit() -> None:
    """Use the application as a customer and a bank would; each of them says it twice."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
    ):
        print("ready:", (await client.get("/readyz")).status_code)
        for _ in range(2):
            taken = await client.post(
                "/orders", json={"order": "lamp"}, headers={"Idempotency-Key": "order-17"}
            )
        body, headers = delivery(taken.json()["run"], 9.5)
        answers = [
            (await client.post("/hooks/payments", content=body, headers=headers)).status_code
            for _ in range(2)
        ]
        print("the bank is told:", answers)
        print((await client.get(taken.headers["location"])).json()["result"])
    print("orders:", len(engine.runs("orders")))
    engine.close()  # looking after the end has opened the log again


def left() -> int:
    """Count the threads that stay; those of the web framework end a moment after its loop."""
    others = [one for one in threading.enumerate() if one is not threading.main_thread()]
    for thread in others:
        thread.join(5)
    return sum(thread.is_alive() for thread in others)


if __name__ == "__main__":
    asyncio.run(visit())
    print("threads left:", left())
