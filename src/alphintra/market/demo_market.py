"""What the market of `alphintra up` is like."""

from decimal import Decimal
from typing import Final

from alphintra.market.instruments import SIMULATED
from alphintra.market.simulator import MarketModel

_BY_SYMBOL = {str(instrument.symbol): instrument for instrument in SIMULATED}


def _model(
    symbol: str,
    price: str,
    *,
    volatility: float,
    spread_bps: float,
    size: str,
    ticks_per_s: float,
    trade_share: float = 0.35,
    has_session: bool = False,
) -> MarketModel:
    instrument = _BY_SYMBOL[symbol]
    return MarketModel(
        instrument=instrument,
        price=Decimal(price),
        volatility=volatility,
        spread_bps=spread_bps,
        size=Decimal(size),
        size_step=Decimal(1) if has_session else instrument.lot_size,
        ticks_per_s=ticks_per_s,
        trade_share=trade_share,
        has_session=has_session,
    )


#: Prices are round figures of the right order, not of any day.
MODELS: Final = (
    _model(
        "AAPL", "240", volatility=0.35, spread_bps=0.8, size="300", ticks_per_s=8, has_session=True
    ),
    _model(
        "MSFT", "480", volatility=0.30, spread_bps=0.8, size="200", ticks_per_s=7, has_session=True
    ),
    _model(
        "SPY", "640", volatility=0.20, spread_bps=0.3, size="800", ticks_per_s=12, has_session=True
    ),
    _model("BTC-USD", "90000", volatility=0.60, spread_bps=0.5, size="0.8", ticks_per_s=14),
    _model("ETH-USD", "3200", volatility=0.75, spread_bps=0.8, size="8", ticks_per_s=10),
    _model(
        "EUR-USD",
        "1.12",
        volatility=0.08,
        spread_bps=0.5,
        size="1000000",
        ticks_per_s=6,
        trade_share=0.0,
    ),
)
