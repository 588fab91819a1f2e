"""Instruments: reading and keeping them, and those that the demo begins with."""

import re
from decimal import Decimal
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core import money
from alphintra.core.instruments import Asset, AssetClass, Instrument, Symbol
from alphintra.market.errors import InvalidInstrument, UnknownInstrument
from alphintra.market.models import InstrumentRow

#: Fit for a bus subject, a URL and a file name; no wildcard, no separator, no blank.
SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,26}(\.[A-Z0-9]{1,4})?", re.ASCII)
_CALENDAR: Final = re.compile(r"[A-Z0-9/_]{2,16}", re.ASCII)
_ASSET: Final = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,31}", re.ASCII)
NAME_LENGTH_MAX: Final = 120


def from_row(row: InstrumentRow) -> Instrument:
    """Return the instrument that a row holds."""
    return Instrument(
        symbol=Symbol(row.symbol),
        name=row.name,
        asset_class=AssetClass(row.asset_class),
        base=Asset(row.base),
        quote=Asset(row.quote),
        tick_size=row.tick_size,
        lot_size=row.lot_size,
        calendar=row.calendar,
        shortable=row.shortable,
        tradable=row.tradable,
    )


async def load_instruments(session: AsyncSession) -> list[Instrument]:
    """Return all instruments, by symbol."""
    rows = await session.scalars(select(InstrumentRow).order_by(InstrumentRow.symbol))
    return [from_row(row) for row in rows]


async def load_instrument(session: AsyncSession, symbol: str) -> Instrument:
    """Return one instrument.

    Raises:
        UnknownInstrument: there is none of that symbol.
    """
    row = await session.get(InstrumentRow, symbol) if SYMBOL.fullmatch(symbol) else None
    if row is None:
        raise UnknownInstrument(f"there is no instrument {symbol[:40]!r}", symbol=symbol[:40])
    return from_row(row)


async def save_instrument(session: AsyncSession, instrument: Instrument) -> None:
    """Keep an instrument, new or changed.

    Raises:
        InvalidInstrument: a field cannot be what it is.
    """
    _check(instrument)
    values = {
        "symbol": instrument.symbol,
        "name": instrument.name,
        "asset_class": str(instrument.asset_class),
        "base": instrument.base,
        "quote": instrument.quote,
        "tick_size": instrument.tick_size,
        "lot_size": instrument.lot_size,
        "calendar": instrument.calendar,
        "shortable": instrument.shortable,
        "tradable": instrument.tradable,
    }
    changed = {name: value for name, value in values.items() if name != "symbol"}
    await session.execute(
        insert(InstrumentRow)
        .values(**values)
        .on_conflict_do_update(
            index_elements=["symbol"], set_={**changed, "updated_at": func.now()}
        )
    )


def _check(instrument: Instrument) -> None:
    if not SYMBOL.fullmatch(instrument.symbol):
        raise InvalidInstrument(
            "a symbol is up to 32 capital letters, digits, '-', '_' and at most one '.'"
        )
    for asset in (instrument.base, instrument.quote):
        if not _ASSET.fullmatch(asset):
            raise InvalidInstrument(f"{asset[:40]!r} is not the name of an asset")
    if instrument.base == instrument.quote:
        raise InvalidInstrument("an instrument exchanges two different assets")
    for step in (instrument.tick_size, instrument.lot_size):
        if not step.is_finite() or not money.QUANTUM <= step < money.LIMIT:
            raise InvalidInstrument("tick_size and lot_size lie between 0.00000001 and 10^12")
        if not money.is_multiple(step, money.QUANTUM):
            raise InvalidInstrument("tick_size and lot_size have at most eight decimal places")
    if not _CALENDAR.fullmatch(instrument.calendar):
        raise InvalidInstrument("a calendar is ALWAYS or an exchange code such as XNYS")
    if not 0 < len(instrument.name) <= NAME_LENGTH_MAX or not instrument.name.isprintable():
        raise InvalidInstrument(f"a name has 1 to {NAME_LENGTH_MAX} printable characters")


def _equity(symbol: str, name: str, *, calendar: str, lot: str = "0.0001") -> Instrument:
    return Instrument(
        symbol=Symbol(symbol),
        name=name,
        asset_class=AssetClass.EQUITY,
        base=Asset(symbol),
        quote=Asset("USD"),
        tick_size=Decimal("0.01"),
        lot_size=Decimal(lot),
        calendar=calendar,
    )


def _pair(
    base: str, quote: str, name: str, kind: AssetClass, tick: str, lot: str, *, shortable: bool
) -> Instrument:
    return Instrument(
        symbol=Symbol(f"{base}-{quote}"),
        name=name,
        asset_class=kind,
        base=Asset(base),
        quote=Asset(quote),
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        shortable=shortable,
    )


#: What the simulator trades. Its market never closes, so these equities have no sessions either: a
#: demo that refused orders at night or at the weekend would show nothing.
SIMULATED: Final = (
    _equity("AAPL", "Apple Inc.", calendar="ALWAYS"),
    _equity("MSFT", "Microsoft Corporation", calendar="ALWAYS"),
    _equity("SPY", "SPDR S&P 500 ETF Trust", calendar="ALWAYS"),
    _pair("BTC", "USD", "Bitcoin", AssetClass.CRYPTO, "0.01", "0.00001", shortable=False),
    _pair("ETH", "USD", "Ether", AssetClass.CRYPTO, "0.01", "0.0001", shortable=False),
    _pair("EUR", "USD", "Euro / US dollar", AssetClass.FX, "0.00001", "1", shortable=True),
)
#: What the bundled history is of, besides; real sessions, no live feed.
HISTORICAL: Final = (
    _equity("FB", "Facebook, Inc. (history 2012-2013)", calendar="XNYS"),
    _equity("GOOG", "Google Inc. (history 2004-2013)", calendar="XNYS"),
    _equity("IBM", "International Business Machines (history 2000-2013)", calendar="XNYS"),
)
