"""Market data: instruments and sessions, feeds and their candles, imports, history.

Prices arrive here, are judged, published and kept. What a price means for an order is decided
elsewhere.
"""

from alphintra.market.board import LatestQuote, QuoteBoard
from alphintra.market.feed import run_market
from alphintra.market.history import Candle
from alphintra.market.importing import ImportResult, import_file
from alphintra.market.instruments import load_instrument, load_instruments, save_instrument
from alphintra.market.pipeline import FeedPipeline, is_derived
from alphintra.market.replaying import ReplayResult, replay
from alphintra.market.routes import router
from alphintra.market.schemas import SourceView
from alphintra.market.seed import seed_demo, seed_instruments
from alphintra.market.service import MarketService
from alphintra.market.sessions import TradingSession, is_open, next_close, sessions_between

__all__ = [
    "Candle",
    "FeedPipeline",
    "ImportResult",
    "LatestQuote",
    "MarketService",
    "QuoteBoard",
    "ReplayResult",
    "SourceView",
    "TradingSession",
    "import_file",
    "is_derived",
    "is_open",
    "load_instrument",
    "load_instruments",
    "next_close",
    "replay",
    "router",
    "run_market",
    "save_instrument",
    "seed_demo",
    "seed_instruments",
    "sessions_between",
]
