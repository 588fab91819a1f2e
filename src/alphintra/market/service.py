"""What market data is asked for: one method is one use case."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import NS_PER_SECOND, now, to_datetime, to_ns
from alphintra.core.instruments import Instrument
from alphintra.market import history
from alphintra.market.board import LatestQuote, QuoteBoard
from alphintra.market.errors import FileTooLarge, InvalidTimeRange, NoQuoteYet
from alphintra.market.guard import REPEAT_S
from alphintra.market.history import Candle, Found, Span
from alphintra.market.importing import SOURCE_NAME, ImportResult, import_file
from alphintra.market.instruments import (
    SYMBOL,
    from_row,
    load_instrument,
    save_instrument,
)
from alphintra.market.models import CandleRow, FeedRow, InstrumentRow, QuarantineRow, TickRow
from alphintra.market.schemas import SourceView
from alphintra.market.timeframes import parse
from alphintra.platform.bus import BusUnavailable
from alphintra.platform.http import BadCursor, decode_cursor, encode_cursor
from alphintra.platform.services import Services

#: What an upload may weigh; larger files are imported on the server, by the command line.
UPLOAD_BYTES_MAX: Final = 64 * 1024**2
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2200


class MarketService:
    """The use cases of market data for one process; follows the feed once a quote was asked for."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database
        self._clock = services.clock
        self._board = QuoteBoard(services.clock)

    async def instruments(
        self, *, limit: int, cursor: str | None, search: str = ""
    ) -> tuple[list[Instrument], str | None]:
        """Return instruments by symbol, and the cursor of the page after.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        statement = select(InstrumentRow).order_by(InstrumentRow.symbol).limit(limit + 1)
        if cursor is not None:
            (symbol,) = decode_cursor(cursor, 1)
            if not SYMBOL.fullmatch(symbol):
                raise BadCursor("the cursor is not valid")
            statement = statement.where(InstrumentRow.symbol > symbol)
        if search:
            statement = statement.where(
                InstrumentRow.symbol.icontains(search, autoescape=True)
                | InstrumentRow.name.icontains(search, autoescape=True)
            )
        async with self._database.reading() as session:
            rows = (await session.scalars(statement)).all()
        items = [from_row(row) for row in rows[:limit]]
        return items, encode_cursor(items[-1].symbol) if len(rows) > limit else None

    async def instrument(self, symbol: str) -> Instrument:
        """Return one instrument.

        Raises:
            UnknownInstrument: there is none of that symbol.
        """
        async with self._database.reading() as session:
            return await load_instrument(session, symbol)

    async def keep_instrument(self, instrument: Instrument) -> Instrument:
        """Make or change an instrument.

        Raises:
            InvalidInstrument: a field cannot be what it is.
        """
        async with self._database.transaction() as session:
            await save_instrument(session, instrument)
        return instrument

    async def candles(
        self,
        symbol: str,
        timeframe: str,
        *,
        start: datetime | None,
        end: datetime | None,
        limit: int,
        cursor: str | None = None,
        newest_first: bool = False,
    ) -> tuple[list[Candle], str | None]:
        """Return closed candles that start in [start, end), and the cursor of the page after.

        Raises:
            UnknownInstrument, UnknownTimeframe, InvalidTimeRange, BadCursor: see there.
        """
        known = parse(timeframe)
        span = _span(start, end)
        if cursor is not None:
            at = _instant(decode_cursor(cursor, 1)[0])
            span = _behind(span, at, newest_first=newest_first)
        async with self._database.reading() as session:
            await load_instrument(session, symbol)
            found: Found[Candle] = await history.candles(
                session, symbol, known, span, limit=limit, newest_first=newest_first
            )
        last = found.items[-1].starts_at if found.items and found.has_more else None
        return found.items, None if last is None else encode_cursor(to_ns(last))

    async def ticks(
        self,
        symbol: str,
        kind: Literal["Q", "T"],
        *,
        start: datetime | None,
        end: datetime | None,
        limit: int,
        cursor: str | None = None,
        newest_first: bool = False,
    ) -> tuple[Sequence[TickRow], str | None]:
        """Return stored quotes ("Q") or prints ("T"), and the cursor of the page after.

        Raises:
            UnknownInstrument, InvalidTimeRange, BadCursor: see there.
        """
        after: tuple[datetime, str, int] | None = None
        if cursor is not None:
            at, source, ordinal = decode_cursor(cursor, 3)
            if not SOURCE_NAME.fullmatch(source):
                raise BadCursor("the cursor is not valid")
            after = (_instant(at), source, _whole(ordinal))
        async with self._database.reading() as session:
            await load_instrument(session, symbol)
            found = await history.ticks(
                session,
                symbol,
                kind,
                _span(start, end),
                limit=limit,
                newest_first=newest_first,
                after=after,
            )
        if not found.has_more:
            return found.items, None
        last = found.items[-1]
        return found.items, encode_cursor(to_ns(last.at), last.source, last.ordinal)

    async def latest_quote(self, symbol: str) -> LatestQuote:
        """Return the latest quote: from the feed, or what is stored where nothing was heard yet.

        Raises:
            UnknownInstrument: there is no such symbol.
            NoQuoteYet: nothing is known of its price.
        """
        # Without the bus there is still the database; the answer says how old it is.
        with suppress(BusUnavailable):
            await self._board.follow(self._services.bus)
        if (known := self._board.get(symbol)) is not None:
            return known
        async with self._database.reading() as session:
            await load_instrument(session, symbol)
            stored = await _stored_quote(session, symbol)
        if stored is None:
            raise NoQuoteYet(f"nothing is known of the price of {symbol}", symbol=symbol)
        return stored

    def is_live(self, quote: LatestQuote) -> bool:
        """Whether the quote came within the time after which a feed counts as silent.

        Of one that was read from the database the source's own time tells it.
        """
        silence_ns = self._services.settings.feed_silence_s * NS_PER_SECOND
        return self._clock.now_ns() - (quote.received_ns or quote.at_ns) <= silence_ns

    async def sources(self) -> list[SourceView]:
        """Return the state of every feed. One that nobody watches any more counts as stale."""
        async with self._database.reading() as session:
            rows = await session.scalars(select(FeedRow).order_by(FeedRow.source, FeedRow.symbol))
            feeds = [SourceView.model_validate(row) for row in rows]
        unwatched = now(self._clock) - timedelta(
            seconds=self._services.settings.feed_silence_s + 2 * REPEAT_S
        )
        return [
            feed.model_copy(update={"state": "STALE"})
            if feed.state == "LIVE"
            and (feed.last_received_at is None or feed.last_received_at < unwatched)
            else feed
            for feed in feeds
        ]

    async def quarantine(
        self, *, symbol: str | None, import_id: UUID | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[QuarantineRow], str | None]:
        """Return refused rows, the latest first, and the cursor of the page after.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        if symbol is not None and not SYMBOL.fullmatch(symbol):
            return [], None
        before = None if cursor is None else _whole(decode_cursor(cursor, 1)[0])
        async with self._database.reading() as session:
            found = await history.quarantined(
                session, symbol=symbol, import_id=import_id, limit=limit, before=before
            )
        return found.items, encode_cursor(found.items[-1].id) if found.has_more else None

    async def import_upload(
        self,
        body: AsyncIterator[bytes],
        *,
        symbol: str,
        timeframe: str | None,
        timezone: str,
        columns: Sequence[str],
        date_format: str,
        source: str,
        file_name: str,
        user_id: UUID,
    ) -> ImportResult:
        """Import a file that arrives over the network.

        Raises:
            FileTooLarge: more than `UPLOAD_BYTES_MAX`.
            Problem: whatever `import_file` raises.
        """
        with tempfile.NamedTemporaryFile(prefix="alphintra-import-") as file:
            size = 0
            async for part in body:
                size += len(part)
                if size > UPLOAD_BYTES_MAX:
                    raise FileTooLarge(
                        f"an upload has at most {UPLOAD_BYTES_MAX:,} bytes; split the file or "
                        "import it on the server"
                    )
                file.write(part)
            file.flush()
            return await import_file(
                self._services,
                Path(file.name),
                symbol=symbol,
                timeframe=timeframe,
                timezone=timezone,
                columns=columns,
                date_format=date_format,
                source=source,
                file_name=file_name or "upload",
                user_id=user_id,
            )


def _span(start: datetime | None, end: datetime | None) -> Span:
    for at in (start, end):
        if at is not None and at.tzinfo is None:
            raise InvalidTimeRange("start and end need an offset, e.g. 2024-01-31T00:00:00Z")
    if start is not None and end is not None and end <= start:
        raise InvalidTimeRange("the end has to be after the start")
    return Span(start=start and _in_calendar(start), end=end and _in_calendar(end))


def _in_calendar(at: datetime) -> datetime:
    # Nothing was traded outside, and the borders of candles can be computed inside.
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise InvalidTimeRange(f"times lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    return to_datetime(to_ns(at))


def _behind(span: Span, at: datetime, *, newest_first: bool) -> Span:
    if newest_first:
        return Span(start=span.start, end=at if span.end is None else min(at, span.end))
    after = at + timedelta(microseconds=1)
    return Span(start=after if span.start is None else max(after, span.start), end=span.end)


def _instant(text: str) -> datetime:
    try:
        return _in_calendar(to_datetime(int(text)))
    except (ValueError, OverflowError, InvalidTimeRange) as error:
        raise BadCursor("the cursor is not valid") from error


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError as error:
        raise BadCursor("the cursor is not valid") from error
    if not 0 <= number < 2**63:
        raise BadCursor("the cursor is not valid")
    return number


async def _stored_quote(session: AsyncSession, symbol: str) -> LatestQuote | None:
    ticks = [
        await session.scalar(
            select(TickRow)
            .where(TickRow.symbol == symbol, TickRow.kind == kind)
            .order_by(TickRow.at.desc(), TickRow.ordinal.desc())
            .limit(1)
        )
        for kind in ("Q", "T")
    ]
    quote, trade = ticks
    if quote is None and trade is None:
        return await _last_close(session, symbol)
    newest = max((one for one in ticks if one is not None), key=lambda one: one.at)
    return LatestQuote(
        symbol=symbol,
        source=newest.source,
        at_ns=to_ns(newest.at),
        received_ns=0,
        bid=None if quote is None else quote.bid,
        ask=None if quote is None else quote.ask,
        bid_size=None if quote is None else quote.bid_size,
        ask_size=None if quote is None else quote.ask_size,
        last=None if trade is None else trade.price,
        last_size=None if trade is None else trade.size,
    )


async def _last_close(session: AsyncSession, symbol: str) -> LatestQuote | None:
    candle = await session.scalar(
        select(CandleRow)
        .where(CandleRow.symbol == symbol)
        .order_by(CandleRow.starts_at.desc())
        .limit(1)
    )
    if candle is None:
        return None
    return LatestQuote(
        symbol=symbol,
        source=candle.source,
        at_ns=to_ns(candle.starts_at),
        received_ns=0,
        last=candle.close,
    )
