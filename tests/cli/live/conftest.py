"""A session of `alphintra trade` in a thread, against the whole product in this process."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from alphintra import identity
from alphintra.cli.client import Api
from alphintra.cli.trade import Stop, TradeOptions, trade
from alphintra.core.clock import to_ns
from alphintra.core.market_data import FEED_SUBJECT, Bar, FeedBatch, encode
from alphintra.sdk.live.host import LiveHost
from tests.gateway.product import SYMBOL, Person, Product, product_settings, running_product

PATIENCE_S = 30
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
async def product(database_url: str, bus_url: str) -> AsyncIterator[Product]:
    async with running_product(product_settings(database_url, bus_url)) as running:
        yield running


@dataclass
class Running:
    """A session and what it has said."""

    stop: Stop
    task: "asyncio.Task[LiveHost]"
    said: list[tuple[str, dict[str, Any]]]
    news: asyncio.Event

    async def until(self, what: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until it has said something so often; return its particulars."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := self.all(what)) < count:
                self.news.clear()
                if self.task.done():
                    self.task.result()
                    raise AssertionError(f"it has ended: {self.said}")
                await self.news.wait()
        return found

    def all(self, what: str) -> list[dict[str, Any]]:
        return [about for event, about in self.said if event == what]

    async def end(self) -> LiveHost:
        self.stop.wanted = True
        return await asyncio.wait_for(self.task, PATIENCE_S)


@dataclass
class Market:
    """Candles of a minute, one after the other, in the product's market."""

    product: Product
    admin: Person
    at: datetime
    closes: list[float] = field(default_factory=list)

    async def past(self, closes: Sequence[float]) -> None:
        """Let candles have closed some time ago: they are stored, and nobody is told."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["time", "open", "high", "low", "close", "volume"])
        for close in closes:
            writer.writerow([self.at.isoformat(), close, close + 1, close - 1, close, 10])
            self.at += MINUTE
            self.closes.append(close)
        answer = await self.product.client.post(
            "/api/v1/market-data/import",
            params={"symbol": SYMBOL, "timeframe": "1m", "file_name": "past.csv"},
            content=out.getvalue().encode(),
            headers=self.admin.headers,
        )
        assert answer.json().get("stored") == len(closes), answer.text

    async def now(self, *closes: float) -> None:
        """Let candles close."""
        for close in closes:
            await self._publish(close, closed=False)
            await self._publish(close, closed=True)
            self.at += MINUTE
            self.closes.append(close)

    async def together(self, **closes: float) -> None:
        """Let candles of several symbols close at one time; `_` stands for `-` in a symbol."""
        for symbol, close in closes.items():
            await self._publish(close, closed=True, symbol=symbol.replace("_", "-"))
        self.at += MINUTE

    async def _publish(self, close: float, *, closed: bool, symbol: str = SYMBOL) -> None:
        price = Decimal(str(close))
        bar = Bar(
            ts_ns=to_ns(self.at),
            timeframe="1m",
            open=price,
            high=price + 1,
            low=price - 1,
            close=price,
            volume=Decimal(10),
            closed=closed,
        )
        if symbol == SYMBOL:
            sequence = self.product._sequence = self.product._sequence + 1
        else:
            sequence = next(_sequences)
        batch = FeedBatch(symbol=symbol, source="simulator", sequence=sequence, ticks=(bar,))
        await self.product.services.bus.publish(f"{FEED_SUBJECT}.{symbol}", encode(batch))


class Wire:
    """A connection to the product that a test can cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_down = False
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Wire"]:
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self.cut()
            server.close()

    def cut(self) -> None:
        """End all connections; until it is mended new ones end at once."""
        self.is_down = True
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def mend(self) -> None:
        self.is_down = False

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_down:
            writer.transport.abort()
            return
        behind, ahead = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, ahead}
        await asyncio.gather(_pump(reader, ahead), _pump(behind, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()
    except (ConnectionError, OSError):
        writer.transport.abort()


_begins = iter(range(1, 29))
#: Of the one other symbol: a gap would be a loss.
_sequences = count(1)


@pytest.fixture
async def market(product: Product) -> Market:
    """A market whose candles are later than those of the tests before."""
    admin = await product.person("admin", identity.Role.ADMIN)
    return Market(product, admin, datetime(2025, 2, next(_begins), 14, 30, tzinfo=UTC))


Start = Callable[..., Any]


@pytest.fixture
async def trader(product: Product) -> Person:
    return await product.person("live")


@pytest.fixture
async def start(
    product: Product, trader: Person, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Start:
    """Start sessions of one trader: `async with start(source, ["fast=2"]) as session`."""
    key = await product.key(trader, "market:read", "orders:read", "orders:write")
    monkeypatch.setenv("ALPHINTRA_API_KEY", key["X-API-Key"])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    @asynccontextmanager
    async def started(
        strategy: str, parameters: Sequence[str] = (), url: str = product.url, **options: Any
    ) -> AsyncIterator[Running]:
        if "\n" in strategy:
            path = tmp_path / "strategy.py"
            path.write_text(strategy)
            strategy = str(path)
        loop, news, stop = asyncio.get_running_loop(), asyncio.Event(), Stop()
        said: list[tuple[str, dict[str, Any]]] = []

        def say(what: str, about: Mapping[str, object]) -> None:
            said.append((what, dict(about)))
            loop.call_soon_threadsafe(news.set)

        def run() -> LiveHost:
            chosen = TradeOptions(
                strategy=strategy,
                parameters=parameters,
                **{
                    "symbol": SYMBOL,
                    "timeframe": "1m",
                    "capital": 10_000.0,
                    "fee": 0.01,
                    "warmup": 1_000,
                    **options,
                },
            )
            with Api(url) as api:
                return trade(chosen, api, say=say, stop=stop)

        task = asyncio.create_task(asyncio.to_thread(run))
        task.add_done_callback(lambda _: news.set())
        running = Running(stop, task, said, news)
        try:
            yield running
        finally:
            stop.wanted = True
            await asyncio.wait([task])

    return started
