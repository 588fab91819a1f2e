"""HTTP face of market data."""

from datetime import datetime
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request

from alphintra.core.clock import to_datetime
from alphintra.core.instruments import Asset, Instrument, Symbol
from alphintra.market.schemas import (
    CandleView,
    ImportView,
    InstrumentBody,
    InstrumentView,
    QuarantinedView,
    QuoteView,
    SourceView,
    StoredQuoteView,
    TradeView,
)
from alphintra.market.service import UPLOAD_BYTES_MAX, MarketService
from alphintra.platform.http import Cursor, Limit, Page
from alphintra.platform.security import Permission, Principal, requires

router = APIRouter(tags=["market data"], prefix="/market-data")

Reader = Annotated[Principal, requires(Permission.MARKET_READ)]
Writer = Annotated[Principal, requires(Permission.MARKET_WRITE)]
SymbolPath = Annotated[str, Path(max_length=32)]
SymbolQuery = Annotated[str, Query(max_length=32)]
Start = Annotated[datetime | None, Query(description="from this time on, with an offset")]
End = Annotated[datetime | None, Query(description="before this time, with an offset")]
Order = Annotated[Literal["asc", "desc"], Query(description="oldest or newest first")]


async def market_service(request: Request) -> MarketService:
    """Return the service of this process, made when it is first asked for."""
    state = request.app.state
    if not hasattr(state, "market"):
        state.market = MarketService(state.services)
    return cast(MarketService, state.market)


Market = Annotated[MarketService, Depends(market_service)]


async def take_uploads(request: Request) -> None:
    """Let this request's body be as large as an import may be."""
    request.state.body_bytes_max = UPLOAD_BYTES_MAX


@router.get("/instruments")
async def list_instruments(
    caller: Reader,
    market: Market,
    search: Annotated[
        str, Query(max_length=64, pattern=r"^[^\x00]*$", description="part of symbol or name")
    ] = "",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[InstrumentView]:
    """What can be traded, by symbol."""
    found, after = await market.instruments(limit=limit, cursor=cursor, search=search)
    return Page(items=[InstrumentView.model_validate(one) for one in found], next=after)


@router.get("/instruments/{symbol}")
async def get_instrument(caller: Reader, market: Market, symbol: SymbolPath) -> InstrumentView:
    """One instrument."""
    return InstrumentView.model_validate(await market.instrument(symbol))


@router.put("/instruments/{symbol}")
async def put_instrument(
    caller: Writer, market: Market, symbol: SymbolPath, body: InstrumentBody
) -> InstrumentView:
    """Make or change an instrument."""
    kept = await market.keep_instrument(
        Instrument(
            symbol=Symbol(symbol),
            name=body.name,
            asset_class=body.asset_class,
            base=Asset(body.base),
            quote=Asset(body.quote),
            tick_size=body.tick_size,
            lot_size=body.lot_size,
            calendar=body.calendar,
            shortable=body.shortable,
            tradable=body.tradable,
        )
    )
    return InstrumentView.model_validate(kept)


@router.get("/candles")
async def list_candles(
    caller: Reader,
    market: Market,
    symbol: SymbolQuery,
    timeframe: Annotated[str, Query(max_length=4, description="1s … 1mo")] = "1m",
    start: Start = None,
    end: End = None,
    order: Order = "asc",
    limit: Limit = 500,
    cursor: Cursor = None,
) -> Page[CandleView]:
    """Closed candles that start in [start, end). `order=desc` gives the latest first."""
    found, after = await market.candles(
        symbol,
        timeframe,
        start=start,
        end=end,
        limit=limit,
        cursor=cursor,
        newest_first=order == "desc",
    )
    return Page(items=[CandleView.model_validate(one) for one in found], next=after)


@router.get("/quotes/{symbol}")
async def get_quote(caller: Reader, market: Market, symbol: SymbolPath) -> QuoteView:
    """The latest quote. `is_live` says whether it is fresh."""
    quote = await market.latest_quote(symbol)
    return QuoteView(
        symbol=quote.symbol,
        bid=quote.bid,
        ask=quote.ask,
        bid_size=quote.bid_size,
        ask_size=quote.ask_size,
        last=quote.last,
        last_size=quote.last_size,
        at=to_datetime(quote.at_ns),
        source=quote.source,
        is_live=market.is_live(quote),
    )


@router.get("/quotes")
async def list_quotes(
    caller: Reader,
    market: Market,
    symbol: SymbolQuery,
    start: Start = None,
    end: End = None,
    order: Order = "asc",
    limit: Limit = 500,
    cursor: Cursor = None,
) -> Page[StoredQuoteView]:
    """Stored quotes: every change of bid and ask that the feeds told."""
    found, after = await market.ticks(
        symbol, "Q", start=start, end=end, limit=limit, cursor=cursor, newest_first=order == "desc"
    )
    return Page(items=[StoredQuoteView.model_validate(one) for one in found], next=after)


@router.get("/trades")
async def list_trades(
    caller: Reader,
    market: Market,
    symbol: SymbolQuery,
    start: Start = None,
    end: End = None,
    order: Order = "asc",
    limit: Limit = 500,
    cursor: Cursor = None,
) -> Page[TradeView]:
    """Stored prints of the market (not your executions: those are at `/trades`)."""
    found, after = await market.ticks(
        symbol, "T", start=start, end=end, limit=limit, cursor=cursor, newest_first=order == "desc"
    )
    return Page(items=[TradeView.model_validate(one) for one in found], next=after)


@router.get("/sources")
async def list_sources(caller: Reader, market: Market) -> Page[SourceView]:
    """The state of each feed, by source and symbol."""
    return Page(items=await market.sources(), next=None)


@router.get("/quarantine")
async def list_quarantine(
    caller: Writer,
    market: Market,
    symbol: Annotated[str | None, Query(max_length=32)] = None,
    import_id: UUID | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[QuarantinedView]:
    """Rows of files and feeds that were not believed, the latest first."""
    found, after = await market.quarantine(
        symbol=symbol, import_id=import_id, limit=limit, cursor=cursor
    )
    return Page(items=[QuarantinedView.model_validate(one) for one in found], next=after)


@router.post(
    "/import",
    status_code=201,
    dependencies=[Depends(take_uploads)],
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "the bytes of a Parquet or CSV file",
            "content": {"application/octet-stream": {"schema": {"format": "binary"}}},
        }
    },
)
async def post_import(
    caller: Writer,
    market: Market,
    request: Request,
    symbol: SymbolQuery,
    timeframe: Annotated[str | None, Query(max_length=4, description="of candles")] = None,
    timezone: Annotated[str, Query(max_length=64, description="of times without one")] = "",
    columns: Annotated[
        str, Query(max_length=1_000, description="names in order, comma separated")
    ] = "",
    date_format: Annotated[str, Query(max_length=64, description="strptime form of times")] = "",
    source: Annotated[str, Query(pattern="^[a-z0-9_-]{1,32}$")] = "import",
    file_name: Annotated[str, Query(max_length=200)] = "",
) -> ImportView:
    """Import a file of candles, quotes or trades. What is not believed is kept in quarantine."""
    result = await market.import_upload(
        request.stream(),
        symbol=symbol,
        timeframe=timeframe,
        timezone=timezone,
        columns=[name for name in columns.split(",") if name],
        date_format=date_format,
        source=source,
        file_name=file_name,
        user_id=caller.user_id,
    )
    return ImportView.model_validate(result)
