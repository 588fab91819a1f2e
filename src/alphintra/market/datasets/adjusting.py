"""Prices adjusted for splits and dividends.

Before a split of `ratio` shares for one, prices are divided and volumes multiplied by the ratio.
Before a dividend, prices are multiplied by 1 − amount / close of the candle before, so that
returns are those of a holder who buys more for it. Prices after the last action are as they were.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from alphintra.engine.series import Bars, Floats
from alphintra.market.datasets.actions import Action
from alphintra.market.datasets.errors import CannotDerive

ADJUSTMENTS: Final = ("raw", "split", "total_return")
_RATIO_MIN, _RATIO_MAX = 1e-6, 1e6


def adjust(bars: Bars, actions: Sequence[Action], *, before: str, after: str) -> Bars:
    """Return candles whose prices are adjusted in another way.

    Args:
        before: what they are adjusted for: raw, or split.
        after: what they shall be adjusted for: raw, split or total_return.

    Raises:
        CannotDerive: there is no way from one to the other, or an action cannot be.
    """
    if before == after:
        raise CannotDerive(f"the prices are {before} already")
    if before not in {"raw", "split"}:
        raise CannotDerive(
            "what the prices are adjusted for is not known, or cannot be undone; "
            "say it as `before`: raw or split"
        )
    mine = sorted((one for one in actions if one.symbol == bars.symbol), key=lambda one: one.ex_ns)
    # Into adjusted prices, out of them again, or neither: they are adjusted for splits already.
    direction = 1 if before == "raw" else -1 if after == "raw" else 0
    prices, shares = np.ones(len(bars)), np.ones(len(bars))
    for action in mine:
        at = int(np.searchsorted(bars.open_ns, action.ex_ns))
        if at == 0:
            continue  # before all data: nothing is left to adjust
        if action.ratio and direction:
            factor = _ratio(action) ** direction
            prices[:at] /= factor
            shares[:at] *= factor
        if action.amount and after == "total_return":
            prices[:at] *= _kept_share(bars, at, action)
    return _scaled(bars, prices, shares)


def _ratio(action: Action) -> float:
    if not _RATIO_MIN <= action.ratio <= _RATIO_MAX:
        raise CannotDerive(f"a split of {action.ratio:g} shares for one cannot be")
    return action.ratio


def _kept_share(bars: Bars, at: int, action: Action) -> float:
    close = float(bars.close[at - 1])
    if not 0 <= action.amount < close:
        raise CannotDerive(
            f"a dividend of {action.amount:g} on a price of {close:g} cannot be", symbol=bars.symbol
        )
    return 1.0 - action.amount / close


def _scaled(bars: Bars, prices: Floats, shares: Floats) -> Bars:
    return Bars(
        bars.symbol,
        bars.open_ns,
        bars.close_ns,
        bars.open * prices,
        bars.high * prices,
        bars.low * prices,
        bars.close * prices,
        bars.volume * shares,
    )
