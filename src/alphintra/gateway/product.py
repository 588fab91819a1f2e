"""What the product's own contexts give to the hub: the present state, for snapshots."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import text

from alphintra import trading
from alphintra.core.errors import NotFound
from alphintra.core.ids import UserId
from alphintra.gateway.hub import views
from alphintra.gateway.hub.messages import Channel
from alphintra.gateway.hub.snapshots import CANDLES_IN_SNAPSHOT
from alphintra.market import LatestQuote, MarketService
from alphintra.platform.database import Database


class ContextSnapshots:
    """The hub's `Snapshots`, from trading and market data."""

    def __init__(self, database: Database, market: MarketService) -> None:
        self._database = database
        self._market = market

    async def private(self, user_id: UserId, channel: Channel) -> tuple[int, Sequence[Any]]:
        async with self._database.reading() as session:
            # Sequence and rows must be of one moment.
            await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            sequence, rows = await trading.stream_snapshot(session, user_id, channel)
        if channel is Channel.FILLS:
            # As the events of `trade_executions` have it.
            rows = [{"trade_id": row["id"], **_without(row, "id")} for row in rows]
        return sequence, rows

    async def quotes(self, symbols: Sequence[str]) -> Mapping[str, LatestQuote]:
        found: dict[str, LatestQuote] = {}
        for symbol in symbols:
            await self._market.instrument(symbol)
            # A known instrument of which nothing was heard yet has no quote.
            with suppress(NotFound):
                found[symbol] = await self._market.latest_quote(symbol)
        return found

    async def candles(self, symbol: str, timeframe: str) -> Sequence[Any]:
        await self._market.instrument(symbol)
        newest, _ = await self._market.candles(
            symbol,
            timeframe,
            start=None,
            end=None,
            limit=CANDLES_IN_SNAPSHOT,
            cursor=None,
            newest_first=True,
        )
        return [views.stored_candle(symbol, timeframe, one) for one in reversed(newest)]


def _without(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}
