"""Market data: instruments and sessions, feeds and their candles, imports, history, datasets.

Prices arrive here, are judged, published and kept. What a price means for an order is decided
elsewhere.

Names are imported when they are first used: research reads files of prices in processes that need
neither the web framework nor the database, and imports of those take seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from alphintra.market.board import LatestQuote, QuoteBoard
    from alphintra.market.datasets import read_bars, read_quotes, read_series, read_trades
    from alphintra.market.datasets.bundled import seed_datasets
    from alphintra.market.datasets.options import options_of
    from alphintra.market.datasets.parsing_process import check_apart, check_here
    from alphintra.market.datasets.routes import datasets_router
    from alphintra.market.datasets.service import Dataset, DatasetService
    from alphintra.market.feed import run_market
    from alphintra.market.history import Candle, stored_ticks
    from alphintra.market.history_role import run_history
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
    from alphintra.market.session_times import session_times
    from alphintra.market.sessions import TradingSession, is_open, next_close, sessions_between
    from alphintra.market.timeframes import FIXED_NS

_HOMES: Final = {
    "board": ("LatestQuote", "QuoteBoard"),
    "datasets": ("read_bars", "read_quotes", "read_series", "read_trades"),
    "datasets.bundled": ("seed_datasets",),
    "datasets.options": ("options_of",),
    "datasets.parsing_process": ("check_apart", "check_here"),
    "datasets.routes": ("datasets_router",),
    "datasets.service": ("Dataset", "DatasetService"),
    "feed": ("run_market",),
    "history": ("Candle", "stored_ticks"),
    "history_role": ("run_history",),
    "importing": ("ImportResult", "import_file"),
    "instruments": ("load_instrument", "load_instruments", "save_instrument"),
    "pipeline": ("FeedPipeline", "is_derived"),
    "replaying": ("ReplayResult", "replay"),
    "requests": (
        "HistoricalDataRequested",
        "HistoryResult",
        "consumers",
        "history_result",
        "request_history",
    ),
    "routes": ("router",),
    "schemas": ("SourceView",),
    "seed": ("seed_demo", "seed_instruments"),
    "service": ("MarketService",),
    "session_times": ("session_times",),
    "sessions": ("TradingSession", "is_open", "next_close", "sessions_between"),
    "timeframes": ("FIXED_NS",),
}
_HOME: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:  # whatever the name stands for
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


__all__ = [
    "FIXED_NS",
    "Candle",
    "Dataset",
    "DatasetService",
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
    "check_apart",
    "check_here",
    "consumers",
    "datasets_router",
    "history_result",
    "import_file",
    "is_derived",
    "is_open",
    "load_instrument",
    "load_instruments",
    "next_close",
    "options_of",
    "read_bars",
    "read_quotes",
    "read_series",
    "read_trades",
    "replay",
    "request_history",
    "router",
    "run_history",
    "run_market",
    "save_instrument",
    "seed_datasets",
    "seed_demo",
    "seed_instruments",
    "session_times",
    "sessions_between",
    "stored_ticks",
]
