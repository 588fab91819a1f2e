"""What a new installation begins with: instruments, and the bundled public-domain history."""

from importlib.resources import as_file, files
from typing import Final

from sqlalchemy import select

from alphintra.market.instruments import HISTORICAL, SIMULATED, save_instrument
from alphintra.market.models import CandleRow, InstrumentRow
from alphintra.platform.services import Services

BUNDLED: Final = ("AAPL", "FB", "GOOG", "IBM")
BUNDLED_SOURCE: Final = "wiki"


async def seed_instruments(services: Services) -> None:
    """Make the demo's instruments where they are missing; what was changed by hand stays.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    async with services.database.transaction() as session:
        known = set(await session.scalars(select(InstrumentRow.symbol)))
        for instrument in (*SIMULATED, *HISTORICAL):
            if instrument.symbol not in known:
                await save_instrument(session, instrument)


async def seed_demo(services: Services) -> None:
    """Make the demo's instruments and import the bundled daily candles; a repeat changes nothing.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    from alphintra.market.importing import import_file

    await seed_instruments(services)
    folder = files("alphintra.market") / "demo"
    for symbol in BUNDLED:
        if await _has_history(services, symbol):
            continue
        with as_file(folder / f"{symbol}_1d.parquet") as path:
            await import_file(services, path, symbol=symbol, timeframe="1d", source=BUNDLED_SOURCE)


async def _has_history(services: Services, symbol: str) -> bool:
    async with services.database.reading() as session:
        found = await session.scalar(
            select(CandleRow.starts_at)
            .where(CandleRow.symbol == symbol, CandleRow.source == BUNDLED_SOURCE)
            .limit(1)
        )
    return found is not None
