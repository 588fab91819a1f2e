"""Historical data over gRPC, and the asynchronous pair that asks it."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from pydantic import SecretStr

from alphintra.core.errors import Problem
from alphintra.core.ids import UserId
from alphintra.core.market_data import Quote, Trade
from alphintra.market import (
    consumers,
    history_result,
    request_history,
    run_history,
    seed_demo,
)
from alphintra.market.history_client import get_historical_data
from alphintra.market.history_wire import health_wire, history_wire, internal_token
from alphintra.market.pipeline import FeedPipeline
from alphintra.platform.consumers import run_consumer
from alphintra.platform.relay import Relay
from alphintra.platform.services import Services

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
WAIT_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
async def serving(services: Services) -> AsyncIterator[Services]:
    """The service on a port of its own, with the bundled history."""
    await seed_demo(services)
    settings = services.settings.model_copy(
        update={"history_port": free_port(), "master_key": SecretStr(KEY)}
    )
    own = replace(services, settings=settings)
    stop = asyncio.Event()
    role = asyncio.create_task(run_history(own, stop))
    async with channel(own) as open_channel:
        await open_channel.channel_ready()
    yield own
    stop.set()
    await role


def channel(services: Services) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{services.settings.history_port}")


async def test_daily_closes_are_exact_and_both_dates_are_included(serving: Services) -> None:
    entries = await get_historical_data(
        serving.settings, symbol="IBM", start=date(2013, 2, 27), end=date(2013, 3, 1)
    )
    assert [(entry.date, entry.value) for entry in entries] == [
        ("2013-02-27", "202.33"),
        ("2013-02-28", "200.83"),
        ("2013-03-01", "202.91"),
    ]


async def test_candles_are_streamed_with_all_their_values(serving: Services) -> None:
    wire = history_wire()
    token = internal_token(serving.settings)
    async with channel(serving) as open_channel:
        stub = wire.services.HistoricalDataServiceStub(open_channel)
        batches = [
            batch
            async for batch in stub.StreamCandles(
                wire.messages.StreamCandlesRequest(symbol="AAPL", timeframe="1d"),
                metadata=(("authorization", f"Bearer {token}"),),
            )
        ]
    candles = [candle for batch in batches for candle in batch.candles]
    assert len(candles) == 3270
    assert len(batches) == 4
    assert candles[0].open == "118.56"
    assert candles == sorted(candles, key=lambda candle: candle.starts_at_ns)


async def test_ticks_are_streamed_as_they_were_told(serving: Services) -> None:
    pipeline = FeedPipeline(serving, "test")
    begin_ns = 1_767_225_600_000_000_000
    quotes = [
        Quote(begin_ns + second * 10**9, Decimal("100.01"), Decimal("100.02"), Decimal(5), None)
        for second in range(1_500)
    ]
    prints = [Trade(begin_ns + 10**9 + 1_000, Decimal("100.02"), Decimal("0.5"), "BUY")]
    await pipeline.ingest("BTC-USD", sorted([*quotes, *prints], key=lambda tick: tick.ts_ns))
    await pipeline.finish()
    kinds = history_wire().messages.StreamTicksRequest.Kind
    told = await ticks(serving, kind=kinds.QUOTES)
    assert [tick.at_ns for tick in told] == [quote.ts_ns for quote in quotes]
    assert (told[0].bid, told[0].ask, told[0].bid_size, told[0].ask_size) == (
        "100.01",
        "100.02",
        "5",
        "",
    )
    assert (told[0].source, told[0].price) == ("test", "")
    (trade,) = await ticks(serving, kind=kinds.TRADES)
    assert (trade.price, trade.size, trade.side) == ("100.02", "0.5", "BUY")
    some = await ticks(
        serving, kind=kinds.QUOTES, start_ns=begin_ns + 10**9, end_ns=begin_ns + 3 * 10**9
    )
    assert [tick.at_ns for tick in some] == [begin_ns + 10**9, begin_ns + 2 * 10**9]


async def ticks(serving: Services, **fields: Any) -> list[Any]:
    wire = history_wire()
    token = internal_token(serving.settings)
    async with channel(serving) as open_channel:
        stub = wire.services.HistoricalDataServiceStub(open_channel)
        return [
            tick
            async for batch in stub.StreamTicks(
                wire.messages.StreamTicksRequest(symbol="BTC-USD", **fields),
                metadata=(("authorization", f"Bearer {token}"),),
            )
            for tick in batch.ticks
        ]


async def call(serving: Services, **fields: Any) -> Any:
    wire = history_wire()
    metadata = fields.pop(
        "metadata", (("authorization", f"Bearer {internal_token(serving.settings)}"),)
    )
    async with channel(serving) as open_channel:
        stub = wire.services.HistoricalDataServiceStub(open_channel)
        return await stub.GetHistoricalData(
            wire.messages.HistoricalDataRequest(**fields), metadata=metadata
        )


@pytest.mark.parametrize(
    ("fields", "code", "problem"),
    [
        (
            {"symbol": "NOPE", "start_date": "2013-01-01", "end_date": "2013-01-02"},
            grpc.StatusCode.NOT_FOUND,
            "unknown_instrument",
        ),
        (
            {"symbol": "IBM", "start_date": "yesterday", "end_date": "2013-01-02"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_time_range",
        ),
        (
            {"symbol": "IBM", "start_date": "2013-01-03", "end_date": "2013-01-02"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_time_range",
        ),
    ],
)
async def test_refusals_carry_their_code(
    serving: Services, fields: dict[str, str], code: grpc.StatusCode, problem: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call(serving, **fields)
    assert refusal.value.code() == code
    assert dict(refusal.value.trailing_metadata() or ()).get("alphintra-code") == problem


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),)])
async def test_without_the_internal_token_nothing_is_told(
    serving: Services, metadata: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call(
            serving,
            symbol="IBM",
            start_date="2013-01-01",
            end_date="2013-01-02",
            metadata=metadata,
        )
    assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_health_is_told_to_everybody(serving: Services) -> None:
    wire = health_wire()
    async with channel(serving) as open_channel:
        stub = wire.services.HealthStub(open_channel)
        answer = await stub.Check(wire.messages.HealthCheckRequest())
    assert answer.status == wire.messages.HealthCheckResponse.SERVING


async def test_beyond_this_machine_a_secret_is_needed(services: Services) -> None:
    open_to_all = replace(
        services,
        settings=services.settings.model_copy(
            update={"history_host": "192.0.2.1", "master_key": SecretStr("")}
        ),
    )
    with pytest.raises(Problem) as refusal:
        await run_history(open_to_all, asyncio.Event())
    assert refusal.value.code == "history_service_unprotected"


async def test_a_request_is_answered_by_the_worker_for_its_owner_only(serving: Services) -> None:
    owner, other = UserId(uuid4()), UserId(uuid4())
    stop = asyncio.Event()
    (consumer,) = consumers(serving)
    named = replace(consumer, name=f"market-history-{uuid4().hex}")
    parts = [
        asyncio.create_task(Relay(serving.database, serving.bus).run(stop)),
        asyncio.create_task(run_consumer(named, serving.database, serving.bus, stop)),
    ]
    try:
        request_id = await request_history(
            serving,
            user_id=owner,
            symbol="GOOG",
            start=datetime(2013, 2, 28, tzinfo=UTC),
            end=datetime(2013, 3, 1, 12, tzinfo=UTC),
        )
        result = await finished(serving, request_id, owner)
        assert result.status == "DONE"
        assert result.entries == [
            {"date": "2013-02-28", "value": "801.2"},
            {"date": "2013-03-01", "value": "806.19"},
        ]
        with pytest.raises(Problem) as refusal:
            await history_result(serving, request_id, other)
        assert refusal.value.code == "unknown_history_request"
    finally:
        stop.set()
        await asyncio.gather(*parts)


async def finished(services: Services, request_id: UUID, owner: UserId) -> Any:
    async with asyncio.timeout(WAIT_S):
        while True:
            result = await history_result(services, request_id, owner)
            if result.status != "PENDING":
                return result
            await asyncio.sleep(0.05)


async def test_a_request_that_cannot_be_answered_is_refused_at_once(services: Services) -> None:
    with pytest.raises(Problem) as refusal:
        await request_history(
            services,
            user_id=UserId(uuid4()),
            symbol="NOPE",
            start=datetime(2013, 2, 28, tzinfo=UTC),
            end=datetime(2013, 3, 1, tzinfo=UTC),
        )
    assert refusal.value.code == "unknown_instrument"
