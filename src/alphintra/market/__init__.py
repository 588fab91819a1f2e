"""Market data: instruments and sessions, feeds and their candles, imports, history.

Prices arrive here, are judged, published and kept. What a price means for an order is decided
elsewhere.
"""

import asyncio

from alphintra.market.board import LatestQuote, QuoteBoard
from alphintra.market.feed import run_market
from alphintra.market.history import Candle
from alphintra.market.importing import ImportResult, import_file
from alphintra.market.instruments import load_instrument, load_instruments, save_instrument
from alphintra.market.pipeline import FeedPipeline, is_derived
from alphintra.market.replaying import ReplayResult, replay
from alphintra.market.requests import (
    HistoricalDataRequested,
    HistoryResult,
    consumers,
    history_result,
    request_history,
)
from alphintra.market.routes import router
from alphintra.market.schemas import SourceView
from alphintra.market.seed import seed_demo, seed_instruments
from alphintra.market.service import MarketService
from alphintra.market.sessions import TradingSession, is_open, next_close, sessions_between
from alphintra.platform.services import Services


async def run_history(services: Services, stop: asyncio.Event) -> None:
    """Serve historical data over gRPC until `stop` is set.

    Raises:
        HistoryServiceUnprotected: it would be reachable from other machines without a secret.
    """
    # Only this role needs gRPC and its compiler.
    from alphintra.market.history_server import serve_history

    await serve_history(services, stop)


__all__ = [
    "Candle",
    "FeedPipeline",
    "HistoricalDataRequested",
    "HistoryResult",
    "ImportResult",
    "LatestQuote",
    "MarketService",
    "QuoteBoard",
    "ReplayResult",
    "SourceView",
    "TradingSession",
    "consumers",
    "history_result",
    "import_file",
    "is_derived",
    "is_open",
    "load_instrument",
    "load_instruments",
    "next_close",
    "replay",
    "request_history",
    "router",
    "run_history",
    "run_market",
    "save_instrument",
    "seed_demo",
    "seed_instruments",
    "sessions_between",
]
