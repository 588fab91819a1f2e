"""Trading: orders, execution, positions, risk, profit and loss. The desk and the paper venue."""

from alphintra.trading.errors import NoSuchOrder, OrderRefused
from alphintra.trading.listening import run_signals
from alphintra.trading.routes import DIRECT_ROUTES, router, trading
from alphintra.trading.running import run_desk
from alphintra.trading.schemas import OrderView, PortfolioView, PositionView
from alphintra.trading.service import Caller, TradingService, caller_of
from alphintra.trading.views import order_detail, stream_snapshot

__all__ = [
    "DIRECT_ROUTES",
    "Caller",
    "NoSuchOrder",
    "OrderRefused",
    "OrderView",
    "PortfolioView",
    "PositionView",
    "TradingService",
    "caller_of",
    "order_detail",
    "router",
    "run_desk",
    "run_signals",
    "stream_snapshot",
    "trading",
]
