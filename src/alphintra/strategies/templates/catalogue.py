"""What templates there are, and on which data each is shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from alphintra.strategies.schemas import StrategyType

#: AAPL was split in 2000 and in February 2005; the prices are as they were traded.
_AFTER_SPLITS: Final = "2005-03-01"
_COSTS: Final = {"rate": 0.0005}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A template as it is listed; its code or graph lies in a file of its name."""

    name: str
    title: str
    category: str
    description: str
    datasets: tuple[str, ...]
    type: StrategyType = StrategyType.CODE_BASED
    start: str | None = None
    settings: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        settings = {"cash": 100_000, "costs": _COSTS, "start": self.start}
        object.__setattr__(self, "settings", settings)


ENTRIES: Final = (
    Entry(
        name="trend_following",
        title="Trend following",
        category="trend",
        description="Long while a fast average is above a slow one, with an exit that trails the "
        "highest close. Few trades, long holds; it loses in markets that go nowhere.",
        datasets=("demo:AAPL",),
        start=_AFTER_SPLITS,
    ),
    Entry(
        name="channel_breakout",
        title="Channel breakout with a bracket",
        category="breakout",
        description="Buys a new high of 55 bars with a stop loss and a take profit that come to "
        "life with the entry; sized so that a stop costs a fixed share of the money.",
        datasets=("demo:GOOG",),
    ),
    Entry(
        name="bollinger_reversion",
        title="Bollinger Band reversion",
        category="mean reversion",
        description="Buys a fall out of the Bollinger Bands within a rising trend; leaves at the "
        "middle, by a stop, or when it runs out of patience.",
        datasets=("demo:IBM",),
    ),
    Entry(
        name="pairs_trading",
        title="Pairs trading",
        category="pairs",
        description="Sells the dearer and buys the cheaper of two symbols when their ratio is far "
        "from its mean. It needs a pair that belongs together; these two hardly do.",
        datasets=("demo:GOOG", "demo:IBM"),
        start=_AFTER_SPLITS,
    ),
    Entry(
        name="momentum_rotation",
        title="Momentum rotation",
        category="rotation",
        description="Every four weeks it owns the symbol that has risen most in half a year.",
        datasets=("demo:AAPL", "demo:GOOG", "demo:IBM"),
        start=_AFTER_SPLITS,
    ),
    Entry(
        name="rebalancing",
        title="Rebalancing",
        category="allocation",
        description="Equal shares of several symbols, brought back when they have drifted by more "
        "than a band.",
        datasets=("demo:AAPL", "demo:IBM"),
        start=_AFTER_SPLITS,
    ),
    Entry(
        name="volatility_target",
        title="Volatility targeting",
        category="allocation",
        description="Holds less when the market is wild and more when it is calm, so that the "
        "volatility over a year stays about the same.",
        datasets=("demo:AAPL",),
        start=_AFTER_SPLITS,
    ),
    Entry(
        name="turn_of_month",
        title="Turn of the month",
        category="time",
        description="Invested in the last days of a month and the first of the next, above its "
        "long average only: an example of a filter of dates. It has lost money on IBM.",
        datasets=("demo:IBM",),
    ),
    Entry(
        name="dollar_cost_averaging",
        title="Dollar-cost averaging",
        category="accumulation",
        description="Buys for the same amount every four weeks, and for twice as much in a slump.",
        datasets=("demo:IBM",),
    ),
    Entry(
        name="grid",
        title="Grid",
        category="grid",
        description="Limit orders in equal steps under an average: buys each step down and sells "
        "each step up. It earns in markets that swing and is fully invested in those that fall.",
        datasets=("demo:IBM",),
    ),
    Entry(
        name="blocks_average_cross",
        title="Cross of averages, in blocks",
        category="trend",
        type=StrategyType.NO_CODE,
        description="Long while a fast average of the closes is above a slow one: the smallest "
        "strategy that blocks can say.",
        datasets=("demo:AAPL",),
        start=_AFTER_SPLITS,
    ),
    Entry(
        name="blocks_rsi_dip",
        title="RSI dip in an uptrend, in blocks",
        category="mean reversion",
        type=StrategyType.NO_CODE,
        description="Buys what has fallen too far within a rising trend, with a stop of some "
        "average true ranges; each trade risks the same share of the money.",
        datasets=("demo:IBM",),
    ),
    Entry(
        name="blocks_macd_trend",
        title="MACD with a trailing stop, in blocks",
        category="trend",
        type=StrategyType.NO_CODE,
        description="Goes with the MACD when it crosses its signal upwards above a long average; "
        "a trailing stop stands from the entry on.",
        datasets=("demo:GOOG",),
    ),
    Entry(
        name="blocks_breakout_bracket",
        title="Breakout with a bracket, in blocks",
        category="breakout",
        type=StrategyType.NO_CODE,
        description="Buys a new high with a stop loss and a take profit, and leaves what goes "
        "nowhere.",
        datasets=("demo:GOOG",),
    ),
    Entry(
        name="blocks_volatility_rebalance",
        title="Monthly rebalancing by volatility, in blocks",
        category="allocation",
        type=StrategyType.NO_CODE,
        description="At the first bar of each month, holds the less of each symbol the more it "
        "moves.",
        datasets=("demo:AAPL", "demo:IBM"),
        start=_AFTER_SPLITS,
    ),
)
