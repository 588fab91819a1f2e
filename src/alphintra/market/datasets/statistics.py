"""Figures of a series: what its returns, volumes, spreads and gaps are like.

A figure that the data do not allow (a deviation of one return) is `None`, never a made-up number.
"""

from typing import Final

import numpy as np

from alphintra.engine.series import Bars, Floats, Quotes, Series, Trades
from alphintra.market.datasets.content import times_of
from alphintra.market.datasets.options import DAY_NS, NS_PER_SECOND

Figures = dict[str, float | int | None]
_YEAR_NS: Final = 365.25 * DAY_NS


def statistics(series: Series) -> Figures:
    """Return the figures of one symbol.

    Returns are simple returns from row to row, as fractions; `volatility` is annualised by the
    number of rows per year that the data themselves have.
    """
    figures = _of_time(series)
    if isinstance(series, Bars):
        return figures | _of_prices(series.close, series) | _of_volume(series.volume)
    if isinstance(series, Quotes):
        mid = (series.bid + series.ask) / 2
        return figures | _of_prices(mid[~np.isnan(mid)], series) | _of_spread(series)
    return figures | _of_prices(series.price, series) | _of_sizes(series)


def _of_time(series: Series) -> Figures:
    times = times_of(series)
    steps = np.diff(times)
    days = np.unique(times // DAY_NS)
    figures: Figures = {
        "rows": len(times),
        "days": len(days),
        "rows_per_day": _plain(len(times) / len(days)),
        "weekend_days": int(((days + 3) % 7 >= 5).sum()),
        "longest_gap_s": _plain(steps.max() / NS_PER_SECOND) if len(steps) else None,
        "median_step_s": _plain(float(np.median(steps)) / NS_PER_SECOND) if len(steps) else None,
    }
    if isinstance(series, Bars) and len(steps):
        length_ns = int(np.median(series.close_ns - series.open_ns))
        figures["gaps"] = int((steps > 1.5 * length_ns).sum())
    return figures


def _of_prices(price: Floats, series: Series) -> Figures:
    times = times_of(series)
    if len(price) < 2:
        return {"first_price": _first(price), "last_price": _first(price)}
    returns = price[1:] / price[:-1] - 1.0
    deviation = float(returns.std(ddof=1)) if len(returns) > 1 else None
    years = (int(times[-1]) - int(times[0])) / _YEAR_NS
    per_year = len(returns) / years if years > 0 else None
    centred = returns - returns.mean()
    spread = float(returns.std())
    return {
        "first_price": _plain(price[0]),
        "last_price": _plain(price[-1]),
        "lowest_price": _plain(price.min()),
        "highest_price": _plain(price.max()),
        "total_return": _plain(price[-1] / price[0] - 1.0),
        "mean_return": _plain(returns.mean()),
        "return_deviation": _plain(deviation),
        "volatility": _plain(deviation * per_year**0.5) if deviation and per_year else None,
        "skewness": _plain((centred**3).mean() / spread**3) if spread > 0 else None,
        "excess_kurtosis": _plain((centred**4).mean() / spread**4 - 3.0) if spread > 0 else None,
        "worst_return": _plain(returns.min()),
        "best_return": _plain(returns.max()),
        "unchanged_share": _plain((returns == 0).mean()),
        "max_drawdown": _plain((price / np.maximum.accumulate(price) - 1.0).min()),
    }


def _of_volume(volume: Floats) -> Figures:
    known = volume[~np.isnan(volume)]
    return {
        "volume_known_share": _plain(len(known) / len(volume)),
        "mean_volume": _plain(known.mean()) if len(known) else None,
        "zero_volume_share": _plain((known == 0).mean()) if len(known) else None,
    }


def _of_spread(quotes: Quotes) -> Figures:
    mid = (quotes.bid + quotes.ask) / 2
    spread_bps = (quotes.ask - quotes.bid) / mid * 10_000.0
    spread_bps = spread_bps[~np.isnan(spread_bps)]
    if not len(spread_bps):
        return {"median_spread_bps": None}
    return {
        "median_spread_bps": _plain(np.median(spread_bps)),
        "mean_spread_bps": _plain(spread_bps.mean()),
        "p99_spread_bps": _plain(np.quantile(spread_bps, 0.99)),
        "locked_share": _plain((spread_bps == 0).mean()),
        "one_sided_share": _plain(np.isnan(mid).mean()),
    }


def _of_sizes(trades: Trades) -> Figures:
    known = trades.size[~np.isnan(trades.size)]
    return {
        "mean_size": _plain(known.mean()) if len(known) else None,
        "median_size": _plain(np.median(known)) if len(known) else None,
        "buy_share": _plain((trades.side == 1).mean()),
        "sell_share": _plain((trades.side == -1).mean()),
    }


def _first(price: Floats) -> float | None:
    return _plain(price[0]) if len(price) else None


def _plain(value: object) -> float | None:
    """Return a number that JSON has, `None` for what it has not."""
    if value is None:
        return None
    number = float(str(value)) if not isinstance(value, float) else value
    return number if np.isfinite(number) else None
