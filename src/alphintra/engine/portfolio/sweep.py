"""Many target-weight runs over the bars of one symbol, each kept as a handful of numbers.

For parameter sweeps: no orders, journal or curves are kept, and a run holds its state in registers.
The rules are those of `Simulation.run_targets` followed by `finish`, and the sums are formed in the
same order, so the final equity is the same to the last bit.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import floor
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.compile import compiled_for_threads, part
from alphintra.engine.portfolio.money import SLACK
from alphintra.engine.portfolio.tape import RowKind, Tape
from alphintra.engine.portfolio.terms import MAINTENANCE_MOST, AccountTerms, BadTerms, SymbolTerms
from alphintra.engine.series import Floats

#: What is kept of a run.
SWEPT: Final = np.dtype(
    [
        ("final_equity", "f8"),
        ("max_drawdown", "f8"),  # of the equity at the closes, a fraction, not above 0
        ("fills", "i8"),
        ("trades", "i8"),  # round trips
        ("wins", "i8"),  # those that made money after fees
        ("gross_profit", "f8"),
        ("gross_loss", "f8"),  # not below 0
        ("fees", "f8"),
        ("bars_held", "i8"),  # bars that ended with a position
        ("periods", "i8"),  # returns that the next three are of
        ("sum_returns", "f8"),
        ("sum_squares", "f8"),
        ("sum_squares_below", "f8"),  # of the negative ones
    ]
)


class _Deal(NamedTuple):
    """The terms of a sweep, as scalars."""

    cash: float
    unit: float
    lot_size: float
    rate: float
    per_unit: float
    per_order: float
    minimum: float
    maximum: float
    over: float  # a price is ticks × over / under
    under: float
    slipped: float  # ticks
    worse: float
    initial: float
    maintenance: float
    allow_short: bool
    shrink: bool
    liquidates: bool


@part
def _fee(deal: _Deal, lots: int, price: float, is_first: bool) -> float:
    fee = lots * deal.unit * price * deal.rate
    fee += lots * deal.lot_size * deal.per_unit
    if is_first:
        fee += deal.per_order
    if fee >= 0.0:
        fee = min(max(fee, deal.minimum), deal.maximum)
    return fee


@part
def _target(deal: _Deal, cash: float, position: int, weight: float, price: float) -> int:
    if weight == 0.0:
        return 0
    sign = 1 if weight > 0.0 else -1
    equity = cash + position * deal.unit * price
    if position * sign < 0:
        equity -= _fee(deal, abs(position), price, True)
    if equity <= 0.0:
        return 0
    lots: int = floor(abs(weight) * equity / (price * deal.unit * (1.0 + deal.rate)))
    return sign * lots


@part
def _carried(
    deal: _Deal, cash: float, position: int, sign: int, closing: int, opening: int, price: float
) -> int:
    equity = cash + position * deal.unit * price
    per_lot = price * deal.unit * deal.initial
    free = equity - abs(position + sign * closing) * per_lot + SLACK * max(1.0, abs(equity))
    if closing > 0:
        free -= _fee(deal, closing, price, True)
    low, high, lots = 0, opening + 1, opening
    while high - low > 1:
        if lots * per_lot + _fee(deal, lots, price, closing == 0) <= free:
            low = lots
        else:
            high = lots
        lots = (low + high) // 2
    return low


@part
def _fill(
    deal: _Deal, swept: Any, cash: float, position: int, entered: float, sign: int, lots: int,
    price: float, is_first: bool,
) -> tuple[float, int, float]:  # fmt: skip
    """Book a fill that does not turn the position; `entered` is the cash before its round trip."""
    fee = _fee(deal, lots, price, is_first)
    if position == 0:
        entered = cash
    cash += -sign * (lots * deal.unit * price) - fee
    position += sign * lots
    swept["fills"] += 1
    swept["fees"] += fee
    if position == 0:
        swept["trades"] += 1
        gained = cash - entered
        if gained > 0.0:
            swept["wins"] += 1
            swept["gross_profit"] += gained
        else:
            swept["gross_loss"] -= gained
    return cash, position, entered


@part
def _deal(
    deal: _Deal, swept: Any, cash: float, position: int, entered: float, weight: float, ticks: float
) -> tuple[float, int, float]:
    """Bring the position to a target weight at the price that an order meets."""
    met = ticks * deal.over / deal.under
    wanted = _target(deal, cash, position, weight, met)
    sign = 1 if wanted >= position else -1
    price = (ticks + sign * deal.slipped) * deal.over / deal.under
    if deal.worse != 0.0:
        price = price * (1.0 + sign * deal.worse)
    wanted = _target(deal, cash, position, weight, price)
    lots = sign * (wanted - position)
    if lots <= 0:
        return cash, position, entered
    closing = min(lots, max(0, -sign * position))
    opening = lots - closing
    if opening > 0:
        if sign < 0 and not deal.allow_short:
            opening = 0
        else:
            carried = _carried(deal, cash, position, sign, closing, opening, price)
            if carried < opening:
                opening = carried if deal.shrink else 0
    if closing > 0:
        cash, position, entered = _fill(
            deal, swept, cash, position, entered, sign, closing, price, True
        )
    if opening > 0:
        cash, position, entered = _fill(
            deal, swept, cash, position, entered, sign, opening, price, closing == 0
        )
    return cash, position, entered


@part
def _out(
    deal: _Deal, swept: Any, cash: float, position: int, entered: float, met: float
) -> tuple[float, int, float]:
    """Close the position at a price that the account meets by itself."""
    sign = -1 if position > 0 else 1
    price = met + sign * (deal.slipped * deal.over / deal.under)
    if deal.worse != 0.0:
        price = price * (1.0 + sign * deal.worse)
    return _fill(deal, swept, cash, position, entered, sign, abs(position), price, True)


@part
def _run(
    deal: _Deal,
    opens: Floats,
    closes: Floats,
    ends: NDArray[np.bool_],
    last_price: float,
    fast: Floats,
    slow: Floats,
    crosses: bool,
    above: float,
    below: float,
    swept: Any,
    kept: Floats,
) -> None:
    """Run once: `fast` holds target weights, or crosses `slow`, which sets `above` or `below`."""
    cash, position, entered = deal.cash, 0, deal.cash
    equity = before = peak = trough = cash
    deepest = total = squares = squares_below = 0.0
    periods = held = 0
    pending = np.nan
    count = len(closes)
    for row in range(count):
        if pending == pending:
            cash, position, entered = _deal(
                deal, swept, cash, position, entered, pending, opens[row]
            )
            pending = np.nan
            equity = cash
        if position != 0:
            value = position * deal.unit * closes[row]
            equity = cash + value
            if deal.liquidates and equity < abs(value) * deal.maintenance:
                cash, position, entered = _out(deal, swept, cash, position, entered, closes[row])
                equity = cash
        if row == count - 1 and position != 0:
            cash, position, entered = _out(deal, swept, cash, position, entered, last_price)
            equity = cash
        held += int(position != 0)
        if equity > peak:
            deepest = min(deepest, trough / peak - 1.0)
            peak = trough = equity
        elif equity < trough:
            trough = equity
        if ends[row]:
            change = equity / before - 1.0
            before = equity
            if kept.size:
                kept[periods] = change
            periods += 1
            total += change
            squares += change * change
            below_zero = min(0.0, change)  # no branch: it would be a guess
            squares_below += below_zero * below_zero
        if not crosses:
            pending = fast[row]
        elif row > 0:
            if fast[row] > slow[row]:
                if fast[row - 1] < slow[row - 1]:
                    pending = above
            elif fast[row] < slow[row] and fast[row - 1] > slow[row - 1]:
                pending = below
    swept["bars_held"], swept["periods"] = held, periods
    swept["sum_returns"], swept["sum_squares"] = total, squares
    swept["sum_squares_below"] = squares_below
    swept["final_equity"] = equity
    swept["max_drawdown"] = min(deepest, trough / peak - 1.0)


@compiled_for_threads
def _run_crosses(
    deal: _Deal, opens: Floats, closes: Floats, ends: NDArray[np.bool_], last_price: float,
    lines: Floats, pairs: NDArray[np.int64], above: float, below: float,
    swept: NDArray[np.void], kept: Floats,
) -> None:  # fmt: skip
    for number in range(len(pairs)):
        _run(
            deal, opens, closes, ends, last_price, lines[pairs[number, 0]],
            lines[pairs[number, 1]], True, above, below, swept[number], kept[number],
        )  # fmt: skip


@compiled_for_threads
def _run_targets(
    deal: _Deal, opens: Floats, closes: Floats, ends: NDArray[np.bool_], last_price: float,
    targets: Floats, swept: NDArray[np.void], kept: Floats,
) -> None:  # fmt: skip
    for number in range(len(targets)):
        _run(
            deal, opens, closes, ends, last_price, targets[number], targets[number], False, 0.0,
            0.0, swept[number], kept[number],
        )  # fmt: skip


class Sweep:
    """The bars of one symbol and the terms, ready for many runs.

    Args:
        tape: of one symbol, with nothing but bars.
        terms, account: `can_sweep` says whether they are simple enough.
        ends: shape (rows,): rows at which a period ends that returns are taken of; `None`: all.
        last_price: at which an open position is closed in the end; `None`: the last close.
        threads: the runs are shared among this many.

    Raises:
        BadTerms: `can_sweep` says no.
    """

    def __init__(
        self,
        tape: Tape,
        terms: SymbolTerms,
        account: AccountTerms,
        *,
        ends: NDArray[np.bool_] | None = None,
        last_price: float | None = None,
        threads: int = 1,
    ) -> None:
        if not can_sweep(tape, terms, account):
            raise BadTerms("these terms need a full simulation; see can_sweep")
        over, under = terms.tick_ratio
        self._opens: Floats = tape.a.astype(np.float64)
        self._closes: Floats = tape.d * float(over) / under
        self._ends = np.ones(len(tape), np.bool_) if ends is None else ends
        self._last_price = float(self._closes[-1]) if last_price is None else last_price
        self._deal = _deal_of(terms, account)
        self._threads = threads

    @property
    def periods(self) -> int:
        """How many returns a run has."""
        return int(self._ends.sum())

    def targets(self, targets: Floats, *, returns: Floats | None = None) -> NDArray[np.void]:
        """Run each row of target weights, shape (runs, rows), as `Simulation.run_targets`.

        Args:
            returns: shape (runs, periods), is filled with the return of each period.

        Returns:
            `SWEPT` for each run.
        """
        targets = np.ascontiguousarray(targets, np.float64)
        if targets.ndim != 2 or targets.shape[1] != len(self._closes):
            raise ValueError(f"targets have the shape {targets.shape}")

        kept = np.empty((len(targets), 0)) if returns is None else returns
        if kept.shape != (len(targets), 0 if returns is None else self.periods):
            raise ValueError(f"returns have the shape {kept.shape}")

        def work(part: slice, swept: NDArray[np.void]) -> None:
            _run_targets(*self._common(), targets[part], swept, kept[part])

        return self._shared(len(targets), work)

    def crosses(
        self, lines: Floats, pairs: NDArray[np.int64], *, above: float = 1.0, below: float = 0.0
    ) -> NDArray[np.void]:
        """Run each pair of lines: where the first crosses the second, the target is set.

        Args:
            lines: shape (lines, rows), NaN before a line is known.
            pairs: shape (runs, 2): two lines' rows.
            above, below: the target weights after a close at which the first line is strictly above
                (below) the second, and was strictly on the other side at the close before.

        Returns:
            `SWEPT` for each run.
        """
        lines = np.ascontiguousarray(lines, np.float64)
        pairs = np.ascontiguousarray(pairs, np.int64)
        if lines.ndim != 2 or lines.shape[1] != len(self._closes):
            raise ValueError(f"lines have the shape {lines.shape}")
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"pairs have the shape {pairs.shape}")
        if len(pairs) and not 0 <= pairs.min() <= pairs.max() < len(lines):
            raise ValueError("pairs name lines that do not exist")
        unkept = np.empty((len(pairs), 0))

        def work(part: slice, swept: NDArray[np.void]) -> None:
            both = float(above), float(below)
            _run_crosses(*self._common(), lines, pairs[part], *both, swept, unkept[part])

        return self._shared(len(pairs), work)

    def _common(self) -> tuple[_Deal, Floats, Floats, NDArray[np.bool_], float]:
        return self._deal, self._opens, self._closes, self._ends, self._last_price

    def _shared(
        self, runs: int, work: Callable[[slice, NDArray[np.void]], None]
    ) -> NDArray[np.void]:
        swept = np.zeros(runs, SWEPT)
        if self._threads == 1 or runs < 2:
            work(slice(0, runs), swept)
            return swept
        # Small parts, so that no thread waits long for one that was slower.
        size = max(1, runs // (8 * self._threads))
        parts = [slice(start, min(start + size, runs)) for start in range(0, runs, size)]
        with ThreadPoolExecutor(self._threads) as pool:
            for _ in pool.map(lambda part: work(part, swept[part]), parts):
                pass
        return swept


def can_sweep(tape: Tape, terms: SymbolTerms, account: AccountTerms) -> bool:
    """Say whether a sweep knows all that these terms ask for."""
    costs = terms.costs
    return bool(
        len(tape.symbols) == 1
        and len(tape) > 0
        and (tape.kind == RowKind.BAR).all()
        and terms.unlimited_volume
        and not costs.tiers
        and costs.impact == 0
        and costs.borrow_rate == 0
        and account.latency_ns == 0
        and terms.currency == account.base
        and set(account.cash) == {account.base}
    )


def _deal_of(terms: SymbolTerms, account: AccountTerms) -> _Deal:
    costs = terms.costs
    over, under = terms.tick_ratio
    initial = terms.margin_initial / account.leverage
    maintenance = terms.margin_maintenance
    allow_short = account.allow_short and terms.shortable
    return _Deal(
        cash=float(account.cash[account.base]),
        unit=terms.lot_size * terms.multiplier,
        lot_size=float(terms.lot_size),
        rate=float(costs.rate),
        per_unit=float(costs.per_unit),
        per_order=float(costs.per_order),
        minimum=float(costs.minimum),
        maximum=float(costs.maximum),
        over=float(over),
        under=float(under),
        slipped=float(costs.slippage_ticks),
        worse=(costs.half_spread_bps + costs.slippage_bps) / 10_000,
        initial=initial,
        maintenance=min(MAINTENANCE_MOST, initial / 2) if maintenance is None else maintenance,
        allow_short=allow_short,
        shrink=account.shrink,
        liquidates=account.liquidation and (allow_short or initial < 1),
    )
