"""One order for each client order id, and one desk for each account, whatever happens meanwhile."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.crash.http_client import HttpClient, Reply
from tests.crash.load import Load, Trader
from tests.crash.product import Product, Victim, running_product
from tests.crash.proof import broken_rules
from tests.crash.scenario import drain

KEYS = int(os.environ.get("ALPHINTRA_CRASH_KEYS", "100"))
COPIES = 20
CONNECTIONS = 60
#: Longer than a lease (6 s) and the pause of a desk on standby.
FREEZE_S = 8.0
ORDERS_WHILE_FROZEN = 200

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def product() -> AsyncIterator[Product]:
    async with running_product() as running:
        yield running


@pytest.fixture(scope="module")
async def load(product: Product) -> Load:
    load = Load(product, seed=random.randrange(1_000_000), orders=1, users=4)
    await load.sign_up()
    await until_priced(load, product)
    return load


def body_of(client_order_id: str, *, quantity: int = 1) -> bytes:
    return json.dumps(
        {
            "symbol": "SPY",
            "side": "BUY",
            "type": "LIMIT",
            "quantity": str(quantity),
            "price": "100.00",
            "time_in_force": "GTC",
            "client_order_id": client_order_id,
        }
    ).encode()


async def place(load: Load, client: HttpClient, trader: Trader, body: bytes) -> Reply:
    return await load.insist(client, "POST", "/orders", trader=trader, body=body)


async def until_priced(load: Load, product: Product) -> None:
    """Wait until the desk has seen a price; before that it refuses every order."""
    client = product.client()
    async with asyncio.timeout(60):
        while True:
            reply = await place(load, client, load.traders[0], body_of(f"priced-{uuid4()}"))
            if reply.status == 201:
                break
            await asyncio.sleep(0.2)
    client.close()


def rows(product: Product, query: str, *parameters: object) -> list[Any]:
    with psycopg.connect(product.database_url) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


async def test_identical_requests_at_once_make_one_order_each_though_the_desk_is_killed(
    product: Product, load: Load
) -> None:
    keys = [f"burst-{uuid4()}" for _ in range(KEYS)]
    requests = [key for key in keys for _ in range(COPIES)]
    answers: dict[str, set[tuple[int, bytes]]] = {key: set() for key in keys}
    trader = load.traders[0]
    queue = iter(requests)
    answered = 0

    async def work() -> None:
        nonlocal answered
        client = product.client()
        for key in queue:
            reply = await place(load, client, trader, body_of(key))
            answers[key].add((reply.status, reply.body))
            answered += 1
        client.close()

    async def kill() -> None:
        while answered < len(requests) // 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert product.kill(Victim.DESK, min) is not None

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kill())
        for _ in range(CONNECTIONS):
            tasks.create_task(work())
    # A desk without a price refuses; the refusal too is the one answer to its id. Its document
    # carries the correlation id of the request, so only orders are compared byte for byte.
    assert all(len({status for status, _ in got}) == 1 for got in answers.values())
    accepted = [got for got in answers.values() if next(iter(got))[0] == 201]
    assert len(accepted) > KEYS // 2
    assert all(len(got) == 1 for got in accepted)
    stored = rows(
        product,
        "SELECT count(*), count(DISTINCT client_order_id) FROM trading.orders"
        " WHERE client_order_id LIKE 'burst-%%'",
    )
    assert stored == [(KEYS, KEYS)]
    assert load.outcome.faults == {}


async def test_a_key_belongs_to_its_terms_and_to_its_user(product: Product, load: Load) -> None:
    await until_priced(load, product)
    client, key = product.client(), f"key-{uuid4()}"
    first = await place(load, client, load.traders[1], body_of(key))
    other_terms = await place(load, client, load.traders[1], body_of(key, quantity=2))
    other_user = await place(load, client, load.traders[2], body_of(key))
    client.close()
    assert (first.status, other_user.status) == (201, 201)
    assert json.loads(first.body)["id"] != json.loads(other_user.body)["id"]
    assert other_terms.status == 422
    code = json.loads(other_terms.body)["code"]
    assert code == "client_order_id_exists_with_different_terms"


async def test_a_desk_that_hung_past_its_lease_cannot_write_any_more(
    product: Product, load: Load
) -> None:
    await until_priced(load, product)
    product.start_process("desk-2", ("desk",))
    query = "SELECT DISTINCT desk_id, epoch FROM trading.desk_leases"
    before = rows(product, query)
    resets = _resets(product)
    # Orders are under way when it freezes, so that it wakes up with a batch in its hands.
    placing = asyncio.create_task(_place_many(product, load))
    await asyncio.sleep(0.3)
    product.signal("desk", signal.SIGSTOP)
    try:
        await asyncio.sleep(FREEZE_S)
        async with asyncio.timeout(60):
            while rows(product, query) == before:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        product.signal("desk", signal.SIGCONT)
    acknowledged = await placing
    assert len(acknowledged) == ORDERS_WHILE_FROZEN
    stored = dict(
        rows(
            product,
            "SELECT client_order_id, id::text FROM trading.orders"
            " WHERE client_order_id LIKE 'frozen-%%'",
        )
    )
    assert stored == acknowledged
    # It woke up believing that it still held the lease, and had to find out.
    async with asyncio.timeout(30):
        while _resets(product) == resets:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert product.ended_by_themselves == []


async def test_the_books_are_in_order_after_all_that(product: Product) -> None:
    await product.stop_process("desk-2")
    await drain(product)
    with psycopg.connect(product.database_url) as connection:
        assert broken_rules(connection) == {}


def _resets(product: Product) -> int:
    return (product.logs / "desk.log").read_text().count('"desk_reset"')


async def _place_many(product: Product, load: Load) -> dict[str, str]:
    acknowledged: dict[str, str] = {}
    keys = iter([f"frozen-{uuid4()}" for _ in range(ORDERS_WHILE_FROZEN)])

    async def work() -> None:
        client = product.client()
        for key in keys:
            reply = await place(load, client, load.traders[3], body_of(key))
            answer = json.loads(reply.body)
            acknowledged[key] = answer["id"] if reply.status == 201 else answer["order_id"]
        client.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(work())
    return acknowledged
