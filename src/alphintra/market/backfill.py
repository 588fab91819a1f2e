"""A past for the simulated market, so that its charts are not empty: candles of a random walk that
ends where the simulation began. Marked by the source `simulator`, like everything that is made up.

A year of days and two days of minutes per symbol, and the timeframes between them.
"""

import asyncio
import math
import random
from decimal import Decimal
from typing import Final

import psycopg
import structlog
from sqlalchemy import func, select

from alphintra.core import money
from alphintra.core.clock import NS_PER_SECOND, to_datetime, to_ns
from alphintra.core.market_data import Bar
from alphintra.market import partitions
from alphintra.market.candles import SymbolCandles
from alphintra.market.demo_market import MODELS
from alphintra.market.models import CandleRow
from alphintra.market.recorder import write_candles
from alphintra.market.simulator import MarketModel, intraday_factor
from alphintra.platform.database import Database, DatabaseUnavailable
from alphintra.platform.services import Services

SOURCE: Final = "simulator"
DAYS: Final = 365
MINUTES: Final = 2 * 1_440
_DAY_NS: Final = 86_400 * NS_PER_SECOND
_MINUTE_NS: Final = 60 * NS_PER_SECOND
_MINUTES_PER_YEAR: Final = 365 * 1_440

log = structlog.get_logger(__name__)


async def ensure(services: Services) -> None:
    """Write the past of every simulated symbol that has none.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    now_ns = services.clock.now_ns()
    for model in MODELS:
        symbol = str(model.instrument.symbol)
        begin_ns, price = await _begin(services.database, symbol, now_ns, model.price)
        if begin_ns is None:
            continue
        seed = f"{services.settings.feed_seed}/{symbol}/past"
        bars = await asyncio.to_thread(past, model, seed=seed, end_ns=begin_ns, price=price)
        await _store(services.database, symbol, bars)
        log.info("past_simulated", symbol=symbol, candles=len(bars))


def past(model: MarketModel, *, seed: str, end_ns: int, price: Decimal) -> list[Bar]:
    """Return candles that end before `end_ns`, the last one closing at `price`."""
    draw = random.Random(seed)
    end_ns -= end_ns % _MINUTE_NS
    start_ns = end_ns - MINUTES * _MINUTE_NS
    start_ns -= start_ns % _DAY_NS
    minutes = _walk_back(model, draw, start_ns, end_ns, _MINUTE_NS, "1m", float(price))
    candles = SymbolCandles()
    bars = list(minutes)
    for bar in minutes:
        bars += candles.add(bar)
    days = _walk_back(
        model, draw, start_ns - DAYS * _DAY_NS, start_ns, _DAY_NS, "1d", float(minutes[0].open)
    )
    return days + bars


def _walk_back(
    model: MarketModel,
    draw: random.Random,
    start_ns: int,
    end_ns: int,
    step_ns: int,
    timeframe: str,
    last_close: float,
) -> list[Bar]:
    """Make the bars from the last to the first, so that the last one closes where it should."""
    instrument = model.instrument
    minutes_per_bar = step_ns // _MINUTE_NS
    per_bar = model.volatility / math.sqrt(_MINUTES_PER_YEAR) * math.sqrt(minutes_per_bar)
    close = last_close
    bars: list[Bar] = []
    for at_ns in range(end_ns - step_ns, start_ns - 1, -step_ns):
        lively = (
            intraday_factor(at_ns / NS_PER_SECOND % 86_400, has_session=model.has_session)
            if timeframe == "1m"
            else 1.0
        )
        deviation = per_bar * lively
        open_ = close * math.exp(-deviation * draw.gauss(0, 1))
        high = max(open_, close) * math.exp(abs(draw.gauss(0, deviation / 2)))
        low = min(open_, close) * math.exp(-abs(draw.gauss(0, deviation / 2)))
        first, top, bottom, final = (
            instrument.quantize_price(Decimal(repr(p))) for p in (open_, high, low, close)
        )
        volume: Decimal | None = None
        if model.trade_share > 0:
            trades = model.ticks_per_s * model.trade_share * 60 * minutes_per_bar * lively
            volume = money.round_to_step(
                model.size * Decimal(repr(trades * draw.uniform(0.3, 0.7))), model.size_step
            )
        bars.append(Bar(at_ns, timeframe, first, top, bottom, final, volume))
        close = open_
    bars.reverse()
    return bars


async def _begin(
    database: Database, symbol: str, now_ns: int, price: Decimal
) -> tuple[int | None, Decimal]:
    """Return where the past has to end and at which price; no time if there is a past."""
    async with database.reading() as session:
        days: int | None = await session.scalar(
            select(func.count()).where(
                CandleRow.symbol == symbol,
                CandleRow.timeframe == "1d",
                CandleRow.source == SOURCE,
                CandleRow.starts_at > to_datetime(now_ns - 400 * _DAY_NS),
            )
        )
        first = await session.scalar(
            select(CandleRow)
            .where(
                CandleRow.symbol == symbol,
                CandleRow.timeframe == "1m",
                CandleRow.source == SOURCE,
            )
            .order_by(CandleRow.starts_at)
            .limit(1)
        )
    if days:
        return None, price
    if first is None:
        return now_ns, price
    return to_ns(first.starts_at), first.open


async def _store(database: Database, symbol: str, bars: list[Bar]) -> None:
    first, last = bars[0].ts_ns, bars[-1].ts_ns
    try:
        connection = await database.connect_raw(autocommit=True)
        try:
            await partitions.ensure(connection, "candles", to_datetime(first), to_datetime(last))
            async with connection.transaction():
                await write_candles(connection, [(symbol, bar) for bar in bars], SOURCE)
        finally:
            await connection.close()
    except (psycopg.Error, OSError) as error:
        raise DatabaseUnavailable("the simulated past could not be written") from error
