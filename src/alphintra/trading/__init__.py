"""Trading: orders, execution, positions, risk, profit and loss. The desk and the paper venue."""

from alphintra.trading.errors import NoSuchOrder, OrderRefused
from alphintra.trading.listening import run_signals
from alphintra.trading.parity_loading import SETTLED, check_day
from alphintra.trading.parity_report import ParityReport
from alphintra.trading.routes import DIRECT_ROUTES, router, trading
from alphintra.trading.running import run_desk
from alphintra.trading.schemas import OrderView, PortfolioView, PositionView
from alphintra.trading.service import Caller, TradingService, caller_of
from alphintra.trading.signals import (
    SIGNAL_OUTCOME,
    Outcome,
    SignalData,
    SignalOutcomeData,
    signal_event,
)
from alphintra.trading.views import (
    fills_of_orders,
    order_detail,
    orders_of_signals,
    rejections_of,
    stream_snapshot,
)

__all__ = [
    "DIRECT_ROUTES",
    "SETTLED",
    "SIGNAL_OUTCOME",
    "Caller",
    "NoSuchOrder",
    "OrderRefused",
    "OrderView",
    "Outcome",
    "ParityReport",
    "PortfolioView",
    "PositionView",
    "SignalData",
    "SignalOutcomeData",
    "TradingService",
    "caller_of",
    "check_day",
    "fills_of_orders",
    "order_detail",
    "orders_of_signals",
    "rejections_of",
    "router",
    "run_desk",
    "run_signals",
    "signal_event",
    "stream_snapshot",
    "trading",
]
