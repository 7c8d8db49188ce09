"""The engine in a web application: it lives as long as the application does.

python examples/06_embedding/in_starlette.py          # plays a customer, and ends by itself
uvicorn --app-dir examples/06_embedding in_starlette:app
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import httpx
import shop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

engine = shop.make()


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


async def pay(request: Request) -> Response:
    """Tell a run that it is paid."""
    engine.signal(request.path_params["run"], "paid", (await request.json())["amount"])
    return Response(status_code=204)


async def result(request: Request) -> Response:
    """Wait for the end of a run, however long it takes; the loop goes on meanwhile."""
    return JSONResponse({"result": await engine.get(request.path_params["run"])})


async def ready(_request: Request) -> Response:
    """Tell whether the engine is ready; this asks no database."""
    health = engine.health()
    return JSONResponse(
        {"ready": health.ready, "reason": health.reason}, 200 if health.ready else 503
    )


app = Starlette(
    routes=[
        Route("/orders", order, methods=["POST"]),
        Route("/orders/{run}/payment", pay, methods=["POST"]),
        Route("/orders/{run}", result),
        Route("/readyz", ready),
    ],
    lifespan=lifespan,
)


async def customer() -> None:
    """Use the application as a browser would."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
    ):
        print("ready:", (await client.get("/readyz")).json()["ready"])
        for _ in range(2):  # the second time is the same order
            taken = await client.post(
                "/orders", json={"order": "lamp"}, headers={"Idempotency-Key": "order-17"}
            )
        where = taken.headers["location"]
        await client.post(f"{where}/payment", json={"amount": 9.5})
        print((await client.get(where)).json()["result"])
    print("orders:", len(engine.runs("orders")))
    engine.close()  # looking after the end has opened the log again


if __name__ == "__main__":
    asyncio.run(customer())
    print("threads left:", threading.active_count() - 1)
