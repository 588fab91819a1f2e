"""Honest clients: each order has an id of its own and is asked for until it is answered.

What order number n is follows from the seed and n alone, so a run can be repeated and the proof
knows what was asked for without keeping it.
"""

import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid5

from tests.crash.http_client import HttpClient, NoAnswer, Reply
from tests.crash.product import Product

API: Final = "/api/v1"
PASSWORD: Final = "a quiet harbour in October"
RETRY_FIRST_S: Final = 0.02
RETRY_MAX_S: Final = 0.3
GIVE_UP_S: Final = 120.0
#: Answers that settle nothing: the same request is sent again.
UNSETTLED: Final = frozenset({429, 500, 502, 503, 504})
SIGNALS: Final = UUID("7d3f8a94-1c1b-4a8f-9c0e-3d2b6c5f4e10")


@dataclass(frozen=True, slots=True)
class Market:
    """Where a symbol of the simulator trades, roughly, and how finely."""

    symbol: str
    price: Decimal
    tick: Decimal
    quantity: Decimal
    #: How many of the orders buy; who cannot be sold short has to be bought first.
    buys: float = 0.6


MARKETS: Final = (
    Market("AAPL", Decimal(240), Decimal("0.01"), Decimal(1)),
    Market("MSFT", Decimal(480), Decimal("0.01"), Decimal(1)),
    Market("SPY", Decimal(640), Decimal("0.01"), Decimal(2)),
    Market("BTC-USD", Decimal(90_000), Decimal("0.01"), Decimal("0.001"), 0.9),
    Market("ETH-USD", Decimal(3_200), Decimal("0.01"), Decimal("0.01"), 0.9),
)
WIDE_LIMITS: Final = {
    "order_quantity_max": "1000000",
    "order_notional_max": "10000000000",
    "position_notional_max": "10000000000",
    "gross_exposure_max": "10000000000",
    "daily_loss_max": "1000000000",
    "price_collar_percent": "90",
    "open_orders_max": 100_000,
    "orders_per_second_max": 100_000,
}


@dataclass(slots=True)
class Trader:
    """A user of the product."""

    email: str
    user_id: UUID
    token: str


@dataclass(slots=True)
class Acknowledged:
    """What the product told a client about one order, and what has to be true of it for ever."""

    number: int
    order_id: UUID
    user_id: UUID
    #: 201, or 422 for what risk refused.
    status: int
    #: BLAKE2 of the first answer; a retry has to get the same bytes.
    digest: bytes
    refusal: str = ""
    quantity: Decimal | None = None
    price: Decimal | None = None
    is_canceled: bool = False


def digest_of(body: bytes) -> bytes:
    """Return what stands for an answer in memory."""
    return hashlib.blake2b(body, digest_size=16).digest()


def client_order_id(seed: int, number: int) -> str:
    return f"crash-{seed}-{number}"


def signal_id(seed: int, number: int) -> UUID:
    return uuid5(SIGNALS, f"{seed}/{number}")


def terms_of(seed: int, number: int) -> dict[str, Any]:
    """Return the body of order `number`: mostly resting limits, some that trade at once."""
    draw = random.Random(f"{seed}/{number}")
    market = draw.choice(MARKETS)
    side = "BUY" if draw.random() < market.buys else "SELL"
    quantity = market.quantity * draw.randint(1, 5)
    away = Decimal(draw.randint(10, 30)) / 100 * (-1 if side == "BUY" else 1)
    terms: dict[str, Any] = {
        "symbol": market.symbol,
        "side": side,
        "quantity": str(quantity),
        "client_order_id": client_order_id(seed, number),
    }

    def price(share: Decimal) -> str:
        return str((market.price * (1 + share)).quantize(market.tick))

    kind = draw.random()
    if kind < 0.78:
        terms |= {"type": "LIMIT", "price": price(away), "time_in_force": "GTC"}
    elif kind < 0.90:
        terms |= {"type": "MARKET", "time_in_force": "GTC"}
    elif kind < 0.94:
        terms |= {"type": "LIMIT", "price": price(-away / 2), "time_in_force": "IOC"}
    elif kind < 0.96:
        terms |= {"type": "STOP", "stop_price": price(-away), "time_in_force": "GTC"}
    elif kind < 0.97:
        terms |= {"type": "TRAILING_STOP", "trail_percent": "20", "time_in_force": "GTC"}
    else:
        terms |= {
            "type": "MARKET",
            "time_in_force": "GTC",
            "order_class": "BRACKET",
            "take_profit": {"price": price(-away)},
            "stop_loss": {"stop_price": price(away)},
        }
    return terms


@dataclass(slots=True)
class Outcome:
    """All that the clients were told."""

    orders: list[Acknowledged] = field(default_factory=list)
    #: (user, signal) of every signal that was taken.
    signals: list[tuple[UUID, UUID]] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    #: Answers that no correct product gives, with the first body of each kind.
    faults: dict[str, str] = field(default_factory=dict)
    retries: int = 0
    acknowledged: int = 0
    canceled: int = 0
    modified: int = 0


class Load:
    """Drives the product with orders and remembers what it was promised."""

    def __init__(
        self,
        product: Product,
        *,
        seed: int,
        orders: int,
        users: int = 16,
        connections: int = 48,
        cancel_share: float = 0.3,
    ) -> None:
        self._product = product
        self._seed = seed
        self._orders = orders
        self._users = users
        self._connections = connections
        self._cancel_share = cancel_share
        self.traders: list[Trader] = []
        self._numbers: Iterator[int] = iter(())
        self.outcome = Outcome()
        #: Called with the time at which an acknowledged request was sent.
        self.on_acknowledged: list[Callable[[float], None]] = []

    @property
    def progress(self) -> float:
        """How much of the load is acknowledged, from 0 to 1."""
        return self.outcome.acknowledged / self._orders

    async def sign_up(self) -> None:
        """Register the users through the API, and lift their limits."""
        async with self._client() as client:
            for number in range(self._users):
                email = f"trader-{self._seed}-{number}@example.org"
                body = json.dumps({"email": email, "password": PASSWORD}).encode()
                made = await self.insist(client, "POST", "/auth/register", body=body)
                assert made.status in {201, 409}, made
                trader = Trader(email=email, user_id=UUID(int=0), token="")
                await self._log_in(client, trader)
                profile = await self.insist(client, "GET", "/users/profile", trader=trader)
                trader.user_id = UUID(json.loads(profile.body)["id"])
                limits = json.dumps(WIDE_LIMITS).encode()
                for path, put in (
                    ("/risk/limits", limits),
                    ("/account/margin", b'{"leverage":"2","short_selling":true}'),
                ):
                    answer = await self.insist(client, "PUT", path, trader=trader, body=put)
                    assert answer.status == 200, answer
                self.traders.append(trader)

    async def run(self) -> None:
        """Place all orders; returns when each is answered."""
        self._numbers = iter(range(self._orders))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._connections):
                tasks.create_task(self._work())

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[HttpClient]:
        client = self._product.client()
        try:
            yield client
        finally:
            client.close()

    async def _work(self) -> None:
        async with self._client() as client:
            for number in self._numbers:
                trader = self.traders[number % len(self.traders)]
                draw = random.Random(f"{self._seed}/after/{number}")
                if draw.random() < 0.02:
                    await self._send_signal(client, trader, number)
                await self._trade(client, trader, number, draw)

    async def _trade(
        self, client: HttpClient, trader: Trader, number: int, draw: random.Random
    ) -> None:
        terms = terms_of(self._seed, number)
        body = json.dumps(terms).encode()
        reply = await self.insist(client, "POST", "/orders", trader=trader, body=body)
        order = self._note_order(trader, number, terms, reply)
        self.outcome.acknowledged += 1
        if order is None or order.status != 201 or terms["type"] != "LIMIT":
            return
        if terms["time_in_force"] != "GTC":
            return
        fate = draw.random()
        if fate < 0.08:
            await self._modify(client, trader, order, terms)
        if 0.05 < fate < 0.05 + self._cancel_share:
            await self._cancel(client, trader, order)
        if draw.random() < 0.01:
            again = await self.insist(client, "POST", "/orders", trader=trader, body=body)
            if again.status != 201 or digest_of(again.body) != order.digest:
                self._fault("another answer to a retry", again)

    def _note_order(
        self, trader: Trader, number: int, terms: dict[str, Any], reply: Reply
    ) -> Acknowledged | None:
        answer = json.loads(reply.body)
        if reply.status == 201:
            order_id, refusal = answer["id"], ""
        elif reply.status == 422 and "order_id" in answer:
            order_id, refusal = answer["order_id"], answer["code"]
            self.outcome.refusals[refusal] += 1
        else:
            self._fault(f"{reply.status} to a good order", reply)
            return None
        order = Acknowledged(
            number=number,
            order_id=UUID(order_id),
            user_id=trader.user_id,
            status=reply.status,
            digest=digest_of(reply.body),
            refusal=refusal,
            quantity=Decimal(terms["quantity"]),
            price=Decimal(terms["price"]) if "price" in terms else None,
        )
        self.outcome.orders.append(order)
        return order

    async def _modify(
        self, client: HttpClient, trader: Trader, order: Acknowledged, terms: dict[str, Any]
    ) -> None:
        further = Decimal(-1) if terms["side"] == "BUY" else Decimal(1)
        price = Decimal(terms["price"]) + further
        body = json.dumps({"price": str(price)}).encode()
        path = f"/orders/{order.order_id}"
        reply = await self.insist(client, "PUT", path, trader=trader, body=body)
        if reply.status != 200:
            # An attempt that went unanswered may have done it: look.
            reply = await self.insist(client, "GET", path, trader=trader)
        order.price = Decimal(json.loads(reply.body)["price"])
        self.outcome.modified += 1

    async def _cancel(self, client: HttpClient, trader: Trader, order: Acknowledged) -> None:
        path = f"/orders/{order.order_id}"
        reply = await self.insist(client, "DELETE", path, trader=trader)
        if reply.status == 409:
            reply = await self.insist(client, "GET", path, trader=trader)
        order.is_canceled = json.loads(reply.body)["status"] == "CANCELED"
        if not order.is_canceled:
            self._fault("a resting order that cannot be cancelled", reply)
        self.outcome.canceled += 1

    async def _send_signal(self, client: HttpClient, trader: Trader, number: int) -> None:
        market = MARKETS[number % len(MARKETS)]
        identity = signal_id(self._seed, number)
        body = {
            "signal_id": str(identity),
            "symbol": market.symbol,
            "action": "BUY",
            "parameters": {"quantity": str(market.quantity)},
        }
        reply = await self.insist(
            client, "POST", "/signals", trader=trader, body=json.dumps(body).encode()
        )
        if reply.status != 202:
            self._fault(f"{reply.status} to a good signal", reply)
            return
        self.outcome.signals.append((trader.user_id, identity))

    async def insist(
        self,
        client: HttpClient,
        method: str,
        path: str,
        *,
        trader: Trader | None = None,
        body: bytes = b"",
    ) -> Reply:
        """Send the same request until it is answered with something that settles it."""
        give_up_s = time.monotonic() + GIVE_UP_S
        pause_s = RETRY_FIRST_S
        while True:
            sent_s = time.monotonic()
            try:
                reply = await client.ask(
                    method, API + path, token=trader.token if trader else "", body=body
                )
            except NoAnswer:
                reply = None
            if reply is not None and reply.status == 401 and trader is not None and trader.token:
                await self._log_in(client, trader)
                continue
            if reply is not None and reply.status not in UNSETTLED:
                for callback in self.on_acknowledged:
                    callback(sent_s)
                return reply
            if reply is not None and reply.status == 500:
                self._fault(f"500 to {method} {path.split('/')[1]}", reply)
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"{method} {path} unanswered for {GIVE_UP_S:g} s: {reply}")
            self.outcome.retries += 1
            await asyncio.sleep(max(pause_s, reply.retry_after_s if reply else 0.0))
            pause_s = min(RETRY_MAX_S, 2 * pause_s)

    async def _log_in(self, client: HttpClient, trader: Trader) -> None:
        body = json.dumps({"email": trader.email, "password": PASSWORD}).encode()
        trader.token = ""
        reply = await self.insist(client, "POST", "/auth/login", trader=trader, body=body)
        assert reply.status == 200, reply
        trader.token = json.loads(reply.body)["access_token"]

    def _fault(self, kind: str, reply: Reply) -> None:
        self.outcome.faults.setdefault(kind, reply.body.decode(errors="replace")[:500])
