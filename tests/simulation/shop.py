"""The workflows of the simulation, and the outside world that their steps ask."""

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from random import Random  # noqa: TID251 - only named as a type; the seed comes from the clock
from typing import Any

from tenacity import (
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    wait_fixed,
    wait_random_exponential,
)

from playhead import CircuitBreaker, Context, Outcome, Signal, Timer, Workflow, step


class Service:
    """What steps ask: it fails as chance wants, and knows every idempotency key it was shown."""

    def __init__(self) -> None:
        self.rng: Random | None = None
        self.rate = 0.0
        self.calls: Counter[str] = Counter()  # idempotency key -> times asked
        self.answers: dict[str, set[str]] = defaultdict(set)  # key -> what was answered
        self.meddle: Callable[[], None] = lambda: None

    def reset(self, rng: Random, rate: float, meddle: Callable[[], None]) -> None:
        """Forget everything; fail this often from now on."""
        self.rng, self.rate, self.meddle = rng, rate, meddle
        self.calls.clear()
        self.answers.clear()

    def ask(self, ctx: Context, what: str) -> str:
        """Answer, or fail; others may act meanwhile."""
        self.calls[ctx.idempotency_key] += 1
        self.meddle()
        if self.rng is not None and self.rng.random() < self.rate:
            raise ConnectionError(f"{what} is down")
        answer = f"{what} for {ctx.idempotency_key}"
        self.answers[ctx.idempotency_key].add(answer)
        return answer


SERVICE = Service()
PRICES = CircuitBreaker("prices", failure_threshold=3, reset_timeout=60.0)
STOCK = CircuitBreaker("stock", failure_threshold=2, reset_timeout=20.0, probes=2)


@step
@retry(
    wait=wait_random_exponential(multiplier=1, max=30),
    stop=stop_after_attempt(3),
    retry=retry_if_exception_type(ConnectionError),
)
def fetch(order: str, ctx: Context) -> str:
    return SERVICE.ask(ctx, f"fetch {order}")


@step(breaker=PRICES, timeout=40)
@retry(wait=wait_fixed(5), stop=stop_after_attempt(3))
def price(fetch: str, ctx: Context) -> str:
    return SERVICE.ask(ctx, "price")


@price.fallback
def price_offline(fetch: str, ctx: Context) -> str:
    return SERVICE.ask(ctx, "offline price")


@step(breaker=STOCK)
@retry(wait=wait_fixed(2), stop=stop_after_attempt(4))
def reserve(fetch: str, ctx: Context) -> str:
    return SERVICE.ask(ctx, "reserve")


@step(when=lambda order: order.endswith(("1", "3", "5")))
@retry(wait=wait_fixed(1), stop=stop_after_attempt(3))
def gift(reserve: str, order: str, ctx: Context) -> str:
    return SERVICE.ask(ctx, "gift")


@step
@retry(wait=wait_fixed(1), stop=stop_after_attempt(5))
def pack(
    price: str, reserve: str, approval: Outcome[str], cooldown: Any, ctx: Context,
    gift: str | None = None,
) -> str:  # fmt: skip
    return SERVICE.ask(ctx, "pack")


ORDER = Workflow(
    "order",
    steps=[
        fetch,
        price,
        reserve,
        gift,
        Signal("approval", str, timeout=timedelta(hours=2), after=["price"]),
        Timer("cooldown", timedelta(minutes=5), after=["reserve"]),
        pack,
    ],
)


@step(on_lost="fail")
def charge(order: str, ctx: Context) -> str:
    return SERVICE.ask(ctx, "charge")


@step(breaker=PRICES, on_open="fallback")
def quote(go: str, ctx: Context) -> str:
    return SERVICE.ask(ctx, "quote")


@quote.fallback
def quote_offline(go: str, ctx: Context) -> str:
    return "offline"


@step(breaker=STOCK, on_open="skip")
@retry(wait=wait_fixed(3), stop=stop_after_attempt(2))
def restock(go: str, ctx: Context) -> str:
    return SERVICE.ask(ctx, "restock")


@step
def report(
    charge: Outcome[str], quote: Outcome[str], restock: Outcome[str], ctx: Context
) -> str:
    return "reported"


GOODS = Workflow("goods", steps=[Signal("go", str), charge, quote, restock, report])


def few_drafts(ctx: Context) -> bool:
    return ctx.visits("draft") < 3


def is_polite(approve: str = "") -> bool:
    return not approve.endswith("7")


@step(breaker=PRICES)
@retry(wait=wait_fixed(5), stop=stop_after_attempt(2))
def draft(order: str, ctx: Context) -> str:
    return SERVICE.ask(ctx, "draft")


@step
@retry(wait=wait_random_exponential(max=8), stop=stop_after_attempt(3))
def release(draft: str, ctx: Context) -> str:
    return SERVICE.ask(ctx, "release")


REVIEW = Workflow(
    "review",
    steps=[draft, release],
    states=[
        "draft",
        {"name": "review", "timeout": 7200, "on_timeout": "expire"},
        {"name": "release", "timeout": 600, "on_timeout": "expire"},
        "published",
        {"name": "rejected", "outcome": "failed"},
    ],
    transitions=[
        ["done", "draft", "review"],
        {"trigger": "revise", "source": "review", "dest": "draft", "conditions": few_drafts},
        ["revise", "review", "rejected"],
        {"trigger": "approve", "source": "review", "dest": "release", "conditions": is_polite},
        {"trigger": "nudge", "source": "review", "dest": None},
        {"trigger": "restart", "source": "review", "dest": "="},
        ["reject", ["draft", "review", "release"], "rejected"],
        ["expire", ["review", "release"], "rejected"],
        ["done", "release", "published"],
        ["error", ["draft", "release"], "rejected"],
    ],
    initial="draft",
    defer=["approve"],
)

WORKFLOWS = (ORDER, GOODS, REVIEW)
SIGNALS = {
    "order": ("approval",),
    "goods": ("go",),
    "review": ("approve", "approve", "revise", "reject", "nudge", "restart"),
}
