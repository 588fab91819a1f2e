"""The made-up past of the simulated market: valid, without holes, ending where the present is."""

from decimal import Decimal
from itertools import pairwise

import pytest

from alphintra.market.backfill import DAYS, past
from alphintra.market.demo_market import MODELS
from alphintra.market.simulator import MarketModel
from alphintra.market.timeframes import FIXED_NS
from alphintra.market.validation import check_bar

END_NS = 1_700_000_030 * 10**9


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.instrument.symbol))
def test_the_past_is_valid_contiguous_and_ends_at_the_price(model: MarketModel) -> None:
    bars = past(model, seed="7", end_ns=END_NS, price=model.price)
    assert bars == past(model, seed="7", end_ns=END_NS, price=model.price)
    keys = {(bar.timeframe, bar.ts_ns) for bar in bars}
    assert len(keys) == len(bars)
    for bar in bars:
        assert check_bar(bar) is None
        assert bar.ts_ns + FIXED_NS[bar.timeframe] <= END_NS
        assert all(map(model.instrument.price_is_on_tick, (bar.open, bar.high, bar.low, bar.close)))
        assert (bar.volume is None) == (model.trade_share == 0)
    minutes = sorted((bar for bar in bars if bar.timeframe == "1m"), key=lambda bar: bar.ts_ns)
    days = sorted((bar for bar in bars if bar.timeframe == "1d"), key=lambda bar: bar.ts_ns)
    assert minutes[-1].close == model.price
    assert len(days) >= DAYS
    for before, after in (*pairwise(minutes), *pairwise(days)):
        assert after.ts_ns - before.ts_ns == FIXED_NS[after.timeframe]
        assert abs(after.open / before.close - 1) < Decimal("0.001")
