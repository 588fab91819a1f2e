"""The WebSocket hub: snapshots, sequences without gaps, slow readers, floods, ended sessions."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import msgspec
import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket_connect

from alphintra.core.ids import EventId
from alphintra.core.market_data import Bar, FeedBatch, Quote, Trade, encode
from alphintra.gateway.hub.messages import Channel
from alphintra.gateway.hub.outgoing import CONFLATED, WAITING_PER_SUBSCRIPTION_MAX
from alphintra.market import LatestQuote
from alphintra.platform.events import Event, Topic
from alphintra.platform.events import encode as encode_event
from alphintra.platform.security import Permission
from tests.gateway.harness import Edge, running_edge, settings_for


class Told(msgspec.Struct):
    """The data of a private event."""

    user_id: UUID
    number: int
    filler: str = ""


def batch_of(topic: Topic, user_id: UUID, numbers: list[int], filler: str = "") -> bytes:
    """Return a bus message with one event per number, which is its sequence too."""
    return b"[%s]" % b",".join(
        encode_event(
            Event(
                id=EventId(uuid4()),
                topic=topic,
                type="order_event.v1",
                key=str(user_id),
                occurred_at_ns=1_700_000_000_000_000_000,
                sequence=number,
                data=Told(user_id, number, filler),
            )
        )
        for number in numbers
    )


def quote_batch(symbol: str, sequence: int, *bids: int) -> bytes:
    quotes = tuple(Quote(ts_ns=bid, bid=Decimal(bid), ask=Decimal(bid + 1)) for bid in bids)
    return encode(FeedBatch(symbol=symbol, source="test", sequence=sequence, ticks=quotes))


def known(symbol: str) -> LatestQuote:
    return LatestQuote(
        symbol=symbol, source="test", at_ns=0, received_ns=0, bid=Decimal(1), ask=Decimal(2)
    )


@contextlib.asynccontextmanager
async def connected(
    edge: Edge, *, headers: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[ClientConnection]:
    async with websocket_connect(
        edge.stream_url, additional_headers=headers, proxy=None, **options
    ) as socket:
        yield socket


async def receive(socket: ClientConnection, timeout_s: float = 5) -> dict[str, Any]:
    async with asyncio.timeout(timeout_s):
        message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def subscribe(socket: ClientConnection, **request: Any) -> dict[str, Any]:
    await send(socket, op="subscribe", **request)
    return await receive(socket)


async def eventually(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for does not announce itself
            await asyncio.sleep(0.01)


async def receive_until_closed(socket: ClientConnection) -> list[dict[str, Any]]:
    """Return what still comes; `socket.close_code` says how it ended."""
    received = []
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            received.append(await receive(socket))
    return received


async def publish_orders(edge: Edge, user_id: UUID, *numbers: int, filler: str = "") -> None:
    await edge.services.bus.publish(
        Topic.ORDER_EVENTS, batch_of(Topic.ORDER_EVENTS, user_id, list(numbers), filler)
    )


async def test_snapshot_then_updates_without_a_gap(edge: Edge) -> None:
    user_id = uuid4()
    edge.desk.rows = {Channel.ORDERS: (7, [{"id": "a"}])}
    async with connected(edge, headers=edge.bearer(user_id=user_id)) as socket:
        snapshot = await subscribe(socket, channel="orders", id="mine")
        assert snapshot == {
            "channel": "orders",
            "id": "mine",
            "type": "snapshot",
            "seq": 7,
            "data": [{"id": "a"}],
        }
        # Delivered again, and behind the snapshot: both are known already.
        await publish_orders(edge, user_id, 6, 7, 8)
        await publish_orders(edge, user_id, 8, 9)
        updates = [await receive(socket) for _ in range(2)]
    assert [(update["type"], update["seq"]) for update in updates] == [("update", 8), ("update", 9)]
    assert updates[0]["data"] == {"user_id": str(user_id), "number": 8, "filler": ""}


async def test_events_of_others_are_not_seen(edge: Edge) -> None:
    user_id = uuid4()
    edge.desk.rows = {Channel.FILLS: (0, [])}
    async with connected(edge, headers=edge.bearer(user_id=user_id)) as socket:
        await subscribe(socket, channel="fills")
        bus = edge.services.bus
        topic = Topic.TRADE_EXECUTIONS
        await bus.publish(topic, batch_of(topic, uuid4(), [1]))
        await bus.publish(topic, batch_of(topic, user_id, [1]))
        update = await receive(socket)
    assert update["data"]["user_id"] == str(user_id)


async def test_gap_on_the_bus_leads_to_a_resync(edge: Edge) -> None:
    user_id = uuid4()
    edge.desk.rows = {Channel.ORDERS: (1, [])}
    async with connected(edge, headers=edge.bearer(user_id=user_id)) as socket:
        await subscribe(socket, channel="orders")
        edge.desk.rows = {Channel.ORDERS: (5, [{"id": "all"}])}
        await publish_orders(edge, user_id, 4, 5)
        resync = await receive(socket)
        await publish_orders(edge, user_id, 6)
        update = await receive(socket)
    assert (resync["type"], resync["seq"], resync["data"]) == ("resync", 5, [{"id": "all"}])
    assert (update["type"], update["seq"]) == ("update", 6)


async def test_events_during_the_snapshot_follow_it(edge: Edge) -> None:
    user_id = uuid4()
    edge.desk.rows = {Channel.ORDERS: (3, [])}
    edge.desk.hold = asyncio.Event()
    asked = edge.desk.asked
    async with connected(edge, headers=edge.bearer(user_id=user_id)) as socket:
        await send(socket, op="subscribe", channel="orders")
        await eventually(lambda: edge.desk.asked > asked)
        await publish_orders(edge, user_id, 2, 3, 4, 5)
        await asyncio.sleep(0.1)
        edge.desk.hold.set()
        edge.desk.hold = None
        received = [await receive(socket) for _ in range(3)]
    assert [(one["type"], one["seq"]) for one in received] == [
        ("snapshot", 3),
        ("update", 4),
        ("update", 5),
    ]


async def test_lost_bus_connection_leads_to_a_resync(edge: Edge) -> None:
    edge.desk.rows = {Channel.POSITIONS: (1, [])}
    async with connected(edge, headers=edge.bearer()) as socket:
        await subscribe(socket, channel="positions")
        edge.desk.rows = {Channel.POSITIONS: (2, [{"symbol": "X"}])}
        # What the client library calls once it is connected again.
        await edge.services.bus._on_reconnect()
        resync = await receive(socket)
    assert (resync["type"], resync["seq"]) == ("resync", 2)


async def test_token_in_the_first_message(edge: Edge) -> None:
    token = edge.keys.token()
    async with connected(edge) as socket:
        await send(socket, type="auth", token=token)
        assert await receive(socket) == {"type": "authenticated"}
        await send(socket, op="ping", id="1")
        assert await receive(socket) == {"type": "pong", "id": "1"}


@pytest.mark.parametrize("first", ['{"type":"auth","token":"wrong"}', "[]", "\udcff", "[" * 9_000])
async def test_wrong_first_message_ends_the_connection(edge: Edge, first: str) -> None:
    async with connected(edge) as socket:
        await socket.send(first.encode("utf-8", "surrogateescape"), text=first != "\udcff")
        await receive_until_closed(socket)
        assert socket.close_code in {1007, 1008}


async def test_token_in_the_query_is_not_read(edge: Edge) -> None:
    async with websocket_connect(
        f"{edge.stream_url}?token={edge.keys.token()}", proxy=None
    ) as socket:
        await send(socket, op="ping")
        assert [one["type"] for one in await receive_until_closed(socket)] == ["error"]
        assert socket.close_code == 1008


async def test_wrong_token_in_the_handshake_is_a_problem(edge: Edge) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connected(edge, headers={"Authorization": "Bearer x"}):
            pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"")["code"] == "not_authenticated"


async def test_page_of_another_origin_is_refused(edge: Edge) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connected(edge, headers=edge.bearer(), origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    async with connected(edge, headers=edge.bearer(), origin=edge.url):
        pass


async def test_channel_needs_its_permission(edge: Edge) -> None:
    async with connected(edge, headers=edge.bearer(Permission.MARKET_READ)) as socket:
        for channel in ("orders", "fills", "positions"):
            refused = await subscribe(socket, channel=channel)
            assert (refused["type"], refused["code"]) == ("error", "forbidden")
        allowed = await subscribe(socket, channel="quotes", symbols=["X"])
        assert allowed["type"] == "snapshot"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"op": "subscribe", "channel": "secrets"}, "bad_message"),
        ({"op": "subscribe", "channel": "quotes"}, "symbols_missing"),
        ({"op": "subscribe", "channel": "quotes", "symbols": ["a b"]}, "bad_message"),
        ({"op": "subscribe", "channel": "quotes", "symbols": ["X"] * 101}, "bad_message"),
        (
            {"op": "subscribe", "channel": "candles", "symbols": ["X"], "timeframe": "7m"},
            "bad_message",
        ),
        ({"op": "subscribe", "channel": "orders", "user_id": "1"}, "bad_message"),
        ({"op": "unsubscribe", "channel": "orders"}, "no_such_subscription"),
        ({"op": "drop"}, "bad_message"),
        ({}, "bad_message"),
    ],
)
async def test_wrong_operation_is_answered(edge: Edge, request_: dict[str, Any], code: str) -> None:
    async with connected(edge, headers=edge.bearer()) as socket:
        await socket.send(json.dumps(request_))
        refused = await receive(socket)
        assert (refused["type"], refused["code"]) == ("error", code)
        await send(socket, op="ping")
        assert (await receive(socket))["type"] == "pong"


async def test_unsubscribed_channel_is_silent(edge: Edge) -> None:
    user_id = uuid4()
    edge.desk.rows = {}
    async with connected(edge, headers=edge.bearer(user_id=user_id)) as socket:
        await subscribe(socket, channel="orders")
        await send(socket, op="unsubscribe", channel="orders")
        assert await receive(socket) == {"type": "unsubscribed", "channel": "orders"}
        await publish_orders(edge, user_id, 1)
        await asyncio.sleep(0.1)
        await send(socket, op="ping")
        assert (await receive(socket))["type"] == "pong"


async def test_quotes_and_candles(edge: Edge) -> None:
    edge.desk.latest = {"BRK.B": known("BRK.B"), "BRK.B:1m": [{"open": "1"}]}
    async with connected(edge, headers=edge.bearer()) as socket:
        quotes = await subscribe(socket, channel="quotes", symbols=["BRK.B", "NONE"])
        candles = await subscribe(socket, channel="candles", symbols=["BRK.B"], timeframe="1m")
        assert [(one["symbol"], one["bid"]) for one in quotes["data"]] == [("BRK.B", "1")]
        assert candles["data"] == [{"open": "1"}]
        bar = Bar(
            ts_ns=0,
            timeframe="1m",
            open=Decimal(1),
            high=Decimal(2),
            low=Decimal(1),
            close=Decimal(2),
            closed=False,
        )
        ticks = (Quote(ts_ns=1, bid=Decimal("1.50"), ask=Decimal(2)), bar)
        await edge.services.bus.publish(
            "market_data_feed.BRK.B",
            encode(FeedBatch(symbol="BRK.B", source="test", sequence=1, ticks=ticks)),
        )
        updates = {update["channel"]: update for update in [await receive(socket) for _ in "ab"]}
    assert updates["quotes"]["seq"] == quotes["seq"] + 1
    assert updates["quotes"]["data"]["bid"] == "1.5"
    assert updates["candles"]["data"]["close"] == "2"
    assert updates["candles"]["data"]["closed"] is False


async def test_print_alone_does_not_take_back_bid_and_ask(edge: Edge) -> None:
    edge.desk.latest = {"PRINT": known("PRINT")}
    async with connected(edge, headers=edge.bearer()) as socket:
        for sequence in (1, 2):
            # Each time anew: what was known before nobody listened is not shown again.
            edge.desk.latest = {"PRINT": known("PRINT")}
            await subscribe(socket, channel="quotes", symbols=["PRINT"])
            ticks = (Trade(ts_ns=5, price=Decimal("1.25"), size=Decimal(sequence)),)
            await edge.services.bus.publish(
                "market_data_feed.PRINT",
                encode(FeedBatch(symbol="PRINT", source="test", sequence=sequence, ticks=ticks)),
            )
            update = await receive(socket)
            shown = {name: update["data"][name] for name in ("bid", "ask", "last", "last_size")}
            assert shown == {"bid": "1", "ask": "2", "last": "1.25", "last_size": str(sequence)}
            await send(socket, op="unsubscribe", channel="quotes")
            await receive(socket)


async def test_missing_feed_batch_leads_to_a_resync(edge: Edge) -> None:
    edge.desk.latest = {"GAP": known("GAP")}
    async with connected(edge, headers=edge.bearer()) as socket:
        await subscribe(socket, channel="quotes", symbols=["GAP"])
        for sequence in (1, 3):
            await edge.services.bus.publish(
                "market_data_feed.GAP", quote_batch("GAP", sequence, sequence)
            )
        received = [await receive(socket) for _ in range(3)]
    assert [one["type"] for one in received] == ["update", "resync", "update"]
    assert [one["seq"] for one in received] == [2, 3, 4]


async def test_message_that_nobody_can_read_harms_nobody(edge: Edge) -> None:
    user_id = uuid4()
    edge.desk.rows = {}
    async with connected(edge, headers=edge.bearer(user_id=user_id)) as socket:
        await subscribe(socket, channel="orders")
        await subscribe(socket, channel="quotes", symbols=["X"])
        for body in (b"{", b"[{}]", b"null"):
            await edge.services.bus.publish(Topic.ORDER_EVENTS, body)
            await edge.services.bus.publish("market_data_feed.X", body)
        await publish_orders(edge, user_id, 1)
        assert (await receive(socket))["seq"] == 1


async def test_flood_closes_the_connection(edge: Edge) -> None:
    async with connected(edge, headers=edge.bearer()) as socket:
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in range(10_000):
                await send(socket, op="ping")
        await receive_until_closed(socket)
        assert (socket.close_code, socket.close_reason) == (1008, "too_many_messages")


async def test_huge_message_closes_the_connection(edge: Edge) -> None:
    async with connected(edge, headers=edge.bearer()) as socket:
        await socket.send("x" * 100_000)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await receive(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_ended_session_closes_the_socket_within_a_second(edge: Edge) -> None:
    token = edge.keys.token()
    async with connected(edge, headers={"Authorization": f"Bearer {token}"}) as socket:
        await send(socket, op="ping")
        await receive(socket)
        edge.keys.revoked.add(edge.keys.principals[token])
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await receive(socket)
        assert asyncio.get_running_loop().time() - started_s < 1.0
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "session_ended")


async def test_connections_of_one_user_are_bounded(edge: Edge) -> None:
    user_id = uuid4()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            socket = await stack.enter_async_context(
                connected(edge, headers=edge.bearer(user_id=user_id))
            )
            await send(socket, op="ping")
            await receive(socket)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            async with connected(edge, headers=edge.bearer(user_id=user_id)) as one_more:
                await receive(one_more)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "too_many_connections")


async def test_subscriptions_of_one_connection_are_bounded(edge: Edge) -> None:
    async with connected(edge, headers=edge.bearer()) as socket:
        for number in range(50):
            await subscribe(socket, channel="quotes", symbols=["X"], id=str(number))
        refused = await subscribe(socket, channel="quotes", symbols=["X"], id="one more")
    assert (refused["code"], refused["id"]) == ("too_many_subscriptions", "one more")


# A client that stops reading: the kernel's buffers fill up first, so messages are large here.


def narrow_socket(edge: Edge) -> socket.socket:
    """Return a connection whose buffer the kernel does not widen; by itself it may take 32 MB."""
    address = urlsplit(edge.stream_url)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    narrow.connect((address.hostname, address.port))
    return narrow


async def test_slow_reader_of_orders_gets_a_resync_and_no_silent_gap(edge: Edge) -> None:
    user_id = uuid4()
    edge.desk.rows = {Channel.ORDERS: (0, [])}
    async with connected(
        edge, headers=edge.bearer(user_id=user_id), max_queue=1, sock=narrow_socket(edge)
    ) as socket:
        await subscribe(socket, channel="orders")
        last = 4 * WAITING_PER_SUBSCRIPTION_MAX
        edge.desk.rows = {Channel.ORDERS: (last, [{"id": "all"}])}
        for number in range(1, last + 1):
            await publish_orders(edge, user_id, number, filler="x" * 8_000)
        await edge.services.bus.ping()
        await asyncio.sleep(1)
        expected = 1
        message = await receive(socket)
        while message["type"] == "update":
            assert message["seq"] == expected
            expected += 1
            message = await receive(socket)
        assert expected < last, "the client was not slow enough for this test to mean anything"
        assert (message["type"], message["seq"]) == ("resync", last)
        await publish_orders(edge, user_id, last + 1)
        assert (await receive(socket))["seq"] == last + 1


async def test_slow_reader_of_quotes_gets_the_latest_and_contiguous_sequences(edge: Edge) -> None:
    symbols = [f"S{number}" for number in range(100)]
    conflated_before = CONFLATED._value.get()
    async with connected(
        edge, headers=edge.bearer(), max_queue=1, sock=narrow_socket(edge)
    ) as socket:
        snapshot = await subscribe(socket, channel="quotes", symbols=symbols)
        rounds = 200
        for number in range(1, rounds + 1):
            for symbol in symbols:
                await edge.services.bus.publish(
                    f"market_data_feed.{symbol}", quote_batch(symbol, number, number)
                )
            await edge.services.bus.ping()
        latest: dict[str, str] = {}
        seq = snapshot["seq"]
        skipped = 0
        while any(latest.get(symbol) != str(rounds) for symbol in symbols):
            update = await receive(socket)
            seq += 1
            assert update["seq"] == seq
            skipped += update.get("conflated", 0)
            latest[update["data"]["symbol"]] = update["data"]["bid"]
    assert skipped == CONFLATED._value.get() - conflated_before
    assert seq - snapshot["seq"] + skipped == rounds * len(symbols)
    assert skipped > 0


async def test_client_that_never_reads_is_disconnected(database_url: str, bus_url: str) -> None:
    settings = settings_for(database_url, bus_url, stream_slow_reader_s=1.0)
    async with running_edge(settings) as edge:
        user_id = uuid4()
        edge.desk.rows = {Channel.ORDERS: (0, [])}
        healthy_id = uuid4()
        async with (
            connected(
                edge, headers=edge.bearer(user_id=user_id), max_queue=1, sock=narrow_socket(edge)
            ) as unread,
            connected(edge, headers=edge.bearer(user_id=healthy_id)) as healthy,
        ):
            await subscribe(unread, channel="orders")
            await subscribe(healthy, channel="orders")
            # More than the kernel keeps for a client that does not read.
            edge.desk.rows = {Channel.ORDERS: (2_999, [{"filler": "x" * 12_000_000}])}
            for number in range(1, 3_000):
                await publish_orders(edge, user_id, number, filler="x" * 8_000)
            await publish_orders(edge, healthy_id, 1)
            assert (await receive(healthy, timeout_s=30))["seq"] == 1
            await eventually(lambda: _clients() == 1, timeout_s=30)
            await receive_until_closed(unread)
            # 1006: cut before it could be told.
            assert (unread.close_code, unread.close_reason) in {(1013, "slow_reader"), (1006, "")}


def _clients() -> float:
    from alphintra.gateway.hub.hub import CONNECTIONS

    return float(CONNECTIONS._value.get())
