"""Old ticks of a live feed go; imports, minutes and what is young stay."""

from dataclasses import replace
from decimal import Decimal

import psycopg

from alphintra.core.clock import ManualClock
from alphintra.core.market_data import Trade
from alphintra.market import FeedPipeline
from alphintra.market.retention import thin_out
from alphintra.platform.services import Services

DAY_S = 86_400.0


async def test_only_old_ticks_of_the_feed_and_their_short_candles_go(services: Services) -> None:
    clock = ManualClock()
    moved = replace(services, clock=clock)
    for source in ("feed", "import"):
        for days_ago in (10, 5, 1):
            ago = ManualClock(clock.now_ns())
            ago.advance(-days_ago * DAY_S)
            pipeline = FeedPipeline(replace(services, clock=ago), source)
            await pipeline.ingest("AAPL", [Trade(ago.now_ns(), Decimal(100), Decimal(1))])
            await pipeline.finish()
    assert await thin_out(moved, "feed") == 2
    assert await thin_out(moved, "feed") == 0
    connection = await psycopg.AsyncConnection.connect(services.database.conninfo)
    async with connection:
        ticks = await connection.execute(
            "SELECT source, count(*) FROM market.ticks GROUP BY source ORDER BY source"
        )
        assert await ticks.fetchall() == [("feed", 1), ("import", 3)]
        # One candle of each timeframe and moment is kept, whoever said it last: the import did.
        candles = await connection.execute(
            "SELECT count(*) FROM market.candles WHERE timeframe = '1m' AND symbol = 'AAPL'"
        )
        assert await candles.fetchall() == [(3,)]
