"""What else could have happened: the same trades in another order, other days of the same kind.

A backtest is one path. These draw many from what it was made of, and tell how equity, drawdown and
Sharpe ratio spread. They cannot tell what would happen in a market unlike the one that was seen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research.metrics import daily_returns, periods_per_year
from alphintra.research.result import BacktestResult
from alphintra.research.search.errors import SearchRefused
from alphintra.sdk.errors import RunCancelled

Floats = NDArray[np.float64]

PERCENTILES: Final = (1, 5, 25, 50, 75, 95, 99)
#: Numbers that are held at a time: paths are made in portions of this size.
_CELLS: Final = 2_000_000
#: Paths that are kept for a chart.
_FAN: Final = 200


class Resampling(StrEnum):
    """How a path is drawn."""

    TRADES = "trades"  #: the trades in another order, each once
    TRADES_REPLACED = "trades_replaced"  #: as many trades, drawn with replacement
    STATIONARY = "stationary"  #: days in blocks of random length
    BLOCKS = "blocks"  #: days in blocks of one length


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A figure over all paths."""

    mean: float
    deviation: float
    percentiles: Mapping[int, float]  #: percent -> value
    observed: float  #: of the backtest itself

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "mean": _plain(self.mean),
            "deviation": _plain(self.deviation),
            "percentiles": {str(share): _plain(value) for share, value in self.percentiles.items()},
            "observed": _plain(self.observed),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MonteCarlo:
    """What many paths came to. `fan` has percentiles of equity over time, shape (7, steps + 1)."""

    method: Resampling
    paths: int
    seed: int
    block: float
    initial_capital: float
    final_equity: Distribution
    max_drawdown: Distribution
    sharpe_ratio: Distribution
    probability_of_loss: float
    probability_of_ruin: float
    ruin: float
    fan: Floats

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "method": self.method.value,
            "paths": self.paths,
            "seed": self.seed,
            "block": self.block,
            "initial_capital": self.initial_capital,
            "final_equity": self.final_equity.to_dict(),
            "max_drawdown": self.max_drawdown.to_dict(),
            "sharpe_ratio": self.sharpe_ratio.to_dict(),
            "probability_of_loss": self.probability_of_loss,
            "probability_of_ruin": self.probability_of_ruin,
            "ruin": self.ruin,
        }

    def report(self, path: Path | str) -> Path:
        """Write a page (.html) or all values (.json)."""
        from alphintra.research.search.page import write_monte_carlo

        return write_monte_carlo(self, path)

    def _repr_html_(self) -> str:
        from alphintra.sdk.notebook import table_html

        return table_html(f"{self.paths:,} paths by {self.method}", summary_rows(self))


def summary_rows(outcome: MonteCarlo) -> list[tuple[str, object]]:
    """Return what to look at first, as names and values."""
    rows: list[tuple[str, object]] = []
    for name in ("final_equity", "max_drawdown", "sharpe_ratio"):
        figure: Distribution = getattr(outcome, name)
        rows += [
            (f"{name}, 5 %", figure.percentiles[5]),
            (f"{name}, median", figure.percentiles[50]),
            (f"{name}, 95 %", figure.percentiles[95]),
            (f"{name}, observed", figure.observed),
        ]
    rows += [
        ("probability of loss", outcome.probability_of_loss),
        (f"probability to fall by {outcome.ruin:.0%}", outcome.probability_of_ruin),
    ]
    return rows


def monte_carlo(
    result: BacktestResult,
    *,
    method: str = Resampling.STATIONARY,
    paths: int = 10_000,
    block: float | None = None,
    ruin: float = 0.5,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> MonteCarlo:
    """Draw many paths from a backtest and return how they spread.

    Args:
        method: a `Resampling`. `trades` and `trades_replaced` reinvest: each trade changes equity
            by the share that it changed it by in the backtest. A shuffle leaves the final equity as
            it is (but for trades that overlapped) and asks for the drawdown only.
        paths: how many.
        block: mean (stationary) or exact (blocks) length of a block in days; `None`: the cube root
            of the number of days, at least 5.
        ruin: a fall from the highest equity by this fraction counts as ruin.
        seed: the same seed draws the same paths.

    Raises:
        SearchRefused: too few trades or days, or an argument out of range.
        RunCancelled: `cancelled` said so.
    """
    if method not in list(Resampling):
        raise SearchRefused(f"{method!r} is none of {', '.join(Resampling)}")
    kind = Resampling(method)
    if not 1 <= paths <= 10_000_000:
        raise SearchRefused(f"the number of paths is 1 to 10,000,000, not {paths}")
    if not 0.0 < ruin < 1.0:
        raise SearchRefused(f"ruin is a fraction between 0 and 1, not {ruin}")
    days, returns, _ = daily_returns(result)
    by_trade = kind in (Resampling.TRADES, Resampling.TRADES_REPLACED)
    steps = _trade_returns(result) if by_trade else returns
    if len(steps) < 5:
        what = "trades" if by_trade else "days"
        raise SearchRefused(f"{len(steps)} {what} are too few to draw others from; 5 are needed")
    length = block if block is not None else max(5.0, len(steps) ** (1 / 3))
    if not 1.0 <= length <= len(steps):
        raise SearchRefused(f"a block of {length:g} is not between 1 and {len(steps)}")
    span = (int(days[-1]) - int(days[0]) + 1) / 365.25
    per_year = len(steps) / span if by_trade else periods_per_year(days)
    draw = _drawer(kind, len(steps), length)
    paths_ = _simulate(steps, draw, paths, seed, progress, cancelled)
    return _outcome(
        paths_,
        steps,
        kind=kind,
        paths=paths,
        seed=seed,
        block=0.0 if by_trade else length,
        ruin=ruin,
        per_year=per_year,
        capital=result.initial_capital,
    )


Draw = Callable[[np.random.Generator, int], NDArray[np.int64]]


def _drawer(kind: Resampling, size: int, block: float) -> Draw:
    """Return what draws `count` paths as rows of places, shape (count, size)."""

    def shuffled(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        return generator.permuted(np.tile(np.arange(size), (count, 1)), axis=1)

    def replaced(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        return generator.integers(0, size, (count, size))

    def in_blocks(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        length = round(block)
        starts = generator.integers(0, size, (count, -(-size // length)))
        rows = (starts[:, :, None] + np.arange(length)) % size
        return rows.reshape(count, -1)[:, :size]

    def stationary(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        begins = generator.random((count, size)) < 1.0 / block
        begins[:, 0] = True
        origins = generator.integers(0, size, (count, size))
        # The place of the last beginning, carried on over its block.
        last = np.maximum.accumulate(np.where(begins, np.arange(size), 0), axis=1)
        rows: NDArray[np.int64] = (
            np.take_along_axis(origins, last, axis=1) + np.arange(size) - last
        ) % size
        return rows

    return {
        Resampling.TRADES: shuffled,
        Resampling.TRADES_REPLACED: replaced,
        Resampling.BLOCKS: in_blocks,
        Resampling.STATIONARY: stationary,
    }[kind]


@dataclass(frozen=True, slots=True)
class _Paths:
    growth: Floats
    drawdown: Floats
    sharpe: Floats
    fan: Floats


def _simulate(
    steps: Floats,
    draw: Draw,
    paths: int,
    seed: int,
    progress: Callable[[float], None] | None,
    cancelled: Callable[[], bool] | None,
) -> _Paths:
    generator = np.random.default_rng(seed)
    growth, drawdown, sharpe = np.empty(paths), np.empty(paths), np.empty(paths)
    # The fan is of the first paths: memory does not grow with their number.
    portion = max(1, _CELLS // len(steps))
    kept: list[Floats] = []
    for begin in range(0, paths, portion):
        if cancelled is not None and cancelled():
            raise RunCancelled("the simulation was cancelled")
        end = min(begin + portion, paths)
        drawn = steps[draw(generator, end - begin)]
        equity = _equity(drawn)
        growth[begin:end] = equity[:, -1]
        drawdown[begin:end] = _deepest(equity)
        sharpe[begin:end] = _sharpe(drawn)
        if begin < _FAN:
            kept.append(equity[: _FAN - begin])
        if progress is not None:
            progress(end / paths)
    fan = np.percentile(np.concatenate(kept), PERCENTILES, axis=0)
    return _Paths(growth, drawdown, sharpe, fan)


def _outcome(
    found: _Paths,
    steps: Floats,
    *,
    kind: Resampling,
    paths: int,
    seed: int,
    block: float,
    ruin: float,
    per_year: float,
    capital: float,
) -> MonteCarlo:
    observed = _equity(steps[None, :])
    year = np.sqrt(per_year)
    return MonteCarlo(
        method=kind,
        paths=paths,
        seed=seed,
        block=block,
        initial_capital=capital,
        final_equity=distribution(found.growth * capital, float(observed[0, -1]) * capital),
        max_drawdown=distribution(found.drawdown, float(_deepest(observed)[0])),
        sharpe_ratio=distribution(found.sharpe * year, float(_sharpe(steps[None, :])[0] * year)),
        # Not below 1 alone: in a shuffle the product differs in its last bits.
        probability_of_loss=float(np.mean(found.growth < 1.0 - 1e-12)),
        probability_of_ruin=float(np.mean(found.drawdown <= -ruin)),
        ruin=ruin,
        fan=found.fan * capital,
    )


def _trade_returns(result: BacktestResult) -> Floats:
    """Return by which share each closed trade changed the equity that there was at its entry."""
    trades = result.trades[~result.trades["open_at_end"]]
    rows = np.searchsorted(result.ts_ns, trades["entry_ns"], side="left") - 1
    before = np.where(rows >= 0, result.equity[np.maximum(rows, 0)], result.initial_capital)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = trades["pnl"] / before
    # Nobody loses more than all: what goes beyond is the lender's.
    return np.maximum(np.where(np.isfinite(shares), shares, 0.0), -1.0)


def _equity(steps: Floats) -> Floats:
    """Return growth from 1 on, shape (paths, steps + 1)."""
    growth = np.ones((steps.shape[0], steps.shape[1] + 1))
    np.cumprod(1.0 + np.maximum(steps, -1.0), axis=1, out=growth[:, 1:])
    return growth


def _deepest(equity: Floats) -> Floats:
    highest = np.maximum.accumulate(equity, axis=1)
    return np.asarray((equity / highest).min(axis=1) - 1.0, dtype=np.float64)


def _sharpe(steps: Floats) -> Floats:
    deviation: Floats = steps.std(axis=1, ddof=1)
    mean: Floats = steps.mean(axis=1)
    found: Floats = np.divide(mean, deviation, out=np.zeros_like(mean), where=deviation > 1e-15)
    return found


def distribution(values: Floats, observed: float) -> Distribution:
    """Return how a figure spreads, shape (paths,), beside what was observed."""
    at = np.percentile(values, PERCENTILES)
    return Distribution(
        mean=float(values.mean()),
        deviation=float(values.std()),
        percentiles=dict(zip(PERCENTILES, at.tolist(), strict=True)),
        observed=observed,
    )


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
