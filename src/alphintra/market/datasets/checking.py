"""What is odd about rows that are data: gaps, jumps that look like errors or missed splits,
prices that stand still. What is hardly right waits for a person; what is only odd is a warning.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import Floats
from alphintra.market.datasets.findings import Findings
from alphintra.market.datasets.judging import Judged
from alphintra.market.datasets.options import DAY_NS, UploadOptions
from alphintra.market.files import Kind

Mask = NDArray[np.bool_]

#: Further than this from one candle to the next, a price is wrong until somebody says otherwise.
_ERROR_RATIO: Final = 20.0
_JUMP_RATIO: Final = 2.0
#: How near a jump is to a round ratio when it is taken for one.
_NEARNESS: Final = 0.03
_SPLIT_RATIOS: Final = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0)
#: A split is no news, so its jump stands out from the usual ones by this much.
_SPLIT_STANDS_OUT: Final = 8.0
_SPLIT_WINDOW_ROWS: Final = 10
_SPLIT_NEARNESS: Final = 0.05
_SPLITS_MAX: Final = 200
_SPIKE_RATIO: Final = 3.0
#: Orders and the ledger hold prices from 10^-8 up to 10^12.
_PRICE_MIN, _PRICE_MAX = 1e-8, 1e12
_STALE_SHARE: Final = 0.5
_LONG_GAP_NS: Final = 6 * DAY_NS
_WIDE_SPREAD: Final = 0.2

_KEEP: Final = "If they are right, accept them with jumps=keep; else correct the file."


def check(judged: Judged, options: UploadOptions, findings: Findings) -> None:
    """Report what is odd about the rows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if judged.kind is Kind.CANDLES:
            _check_jumps(judged, judged.floats["close"], judged.floats["open"], options, findings)
            _check_known_splits(judged, options, findings)
            _check_spikes(judged, findings)
            _check_gaps(judged, findings)
            _check_standstill(judged, findings)
            _check_volume(judged, findings)
            _check_range(judged, judged.floats["close"], findings)
        elif judged.kind is Kind.QUOTES:
            mid = (judged.floats["bid"] + judged.floats["ask"]) / 2
            _check_jumps(judged, mid, mid, options, findings)
            _check_spreads(judged, findings)
        else:
            price = judged.floats["price"]
            _check_jumps(judged, price, price, options, findings)
            _check_range(judged, price, findings)


def _log_steps(judged: Judged, price: Floats, before: Floats) -> Floats:
    """Return log(price / the price before), 0 in the first row of a symbol."""
    steps = np.zeros(len(price))
    steps[1:] = np.log(price[1:] / before[:-1])
    steps[judged.starts] = 0.0
    return np.nan_to_num(steps, nan=0.0, posinf=0.0, neginf=0.0)


def _check_jumps(
    judged: Judged, close: Floats, open_: Floats, options: UploadOptions, findings: Findings
) -> None:
    steps = _log_steps(judged, close, close)
    overnight = _log_steps(judged, open_, close)
    size = np.abs(steps)
    errors = (size > np.log(_ERROR_RATIO)) | _near_power_of_ten(steps)
    splits = (_near_split(steps) | _near_split(overnight)) & ~errors
    moves = size[size > 0]
    usual = max(float(np.median(moves)) if len(moves) else 0.0, 0.002)
    splits &= np.maximum(size, np.abs(overnight)) > _SPLIT_STANDS_OUT * usual
    jumps = (size > np.log(_JUMP_RATIO)) & ~errors & ~splits
    _ask_about(
        "scale_error", errors, steps, judged, options, findings,
        "the price jumps by a factor that prices do not jump by: another unit (pence for pounds), "
        "or a misplaced decimal point",
    )  # fmt: skip
    _ask_about(
        "looks_like_split", splits, steps, judged, options, findings,
        "the price jumps by a round factor, as by a split that was not adjusted for",
    )  # fmt: skip
    if jumps.any():
        findings.warn(
            "price_jump",
            f"the price more than doubles or halves {jumps.sum():,} times, first by "
            f"{_factor(steps, jumps)}",
            "Crashes are real, and so are errors; look at these rows.",
            rows=judged.numbers[jumps],
        )


def _near_power_of_ten(steps: Floats) -> Mask:
    powers = steps / np.log(10)
    near: Mask = np.abs(powers - np.round(powers)) < _NEARNESS / np.log(10)
    large: Mask = np.abs(np.round(powers)) >= 2
    return near & large


def _near_split(steps: Floats) -> Mask:
    near = np.zeros(len(steps), dtype=np.bool_)
    large = np.flatnonzero(np.abs(steps) > np.log(_SPLIT_RATIOS[0]) - _NEARNESS)
    for ratio in _SPLIT_RATIOS:
        near[large] |= np.abs(np.abs(steps[large]) - np.log(ratio)) < _NEARNESS
    return near


def _factor(steps: Floats, which: Mask) -> str:
    return f"×{np.exp(steps[np.argmax(which)]):.4g}"


def _ask_about(
    code: str,
    which: Mask,
    steps: Floats,
    judged: Judged,
    options: UploadOptions,
    findings: Findings,
    reason: str,
) -> None:
    if not which.any():
        return
    words = f"{reason} ({which.sum():,} times, first {_factor(steps, which)})"
    rows = judged.numbers[which]
    if options.jumps == "keep":
        findings.warn(code, f"{words}; kept as it is", "Somebody said that it is right.", rows=rows)
    else:
        findings.ask(code, words, _KEEP, option="jumps", choices=("keep",), rows=rows)


def _check_known_splits(judged: Judged, options: UploadOptions, findings: Findings) -> None:
    """Where the file names a split, prices are adjusted for it, so nothing may jump by it."""
    ratios = judged.extras.get("splits")
    if ratios is None:
        return
    # Smaller ones hide among ordinary moves.
    named = np.flatnonzero((ratios > 0) & (np.abs(np.log(ratios)) > 0.1))[:_SPLITS_MAX]
    steps = _log_steps(judged, judged.floats["close"], judged.floats["close"])
    missed = np.zeros(len(steps), dtype=np.bool_)
    for at in named:
        window = slice(max(0, at - _SPLIT_WINDOW_ROWS), at + _SPLIT_WINDOW_ROWS + 1)
        ratio = np.log(ratios[at])
        missed[window] |= np.abs(np.abs(steps[window]) - abs(ratio)) < _SPLIT_NEARNESS
    _ask_about(
        "missed_split", missed, steps, judged, options, findings,
        "the file names a split, and its prices jump by it: they are adjusted in part only",
    )  # fmt: skip


def _check_spikes(judged: Judged, findings: Findings) -> None:
    floats = judged.floats
    up = floats["high"] > _SPIKE_RATIO * np.maximum(floats["open"], floats["close"])
    down = floats["low"] < np.minimum(floats["open"], floats["close"]) / _SPIKE_RATIO
    if (spikes := up | down).any():
        findings.warn(
            "spike",
            f"high or low of {spikes.sum():,} candles is {_SPIKE_RATIO:g} times away from open and "
            "close",
            "A single wrong print does that; orders would be filled there.",
            rows=judged.numbers[spikes],
        )


def _check_gaps(judged: Judged, findings: Findings) -> None:
    step_ns = judged.step_ns
    if not step_ns:
        return
    steps = np.zeros(len(judged.times), dtype=np.int64)
    steps[1:] = np.diff(judged.times)
    steps[judged.starts] = 0
    gaps = steps > 1.5 * step_ns
    if not gaps.any():
        return
    long = gaps & (steps > max(_LONG_GAP_NS, 1.5 * step_ns))
    breaks = gaps & ~long & _closed_then(judged, steps)
    missing = gaps & ~breaks & ~long
    if breaks.any():
        findings.note(
            "sessions", f"there are {breaks.sum():,} breaks: nights, weekends, holidays",
            count=int(breaks.sum()),
        )  # fmt: skip
    if missing.any():
        count = int((steps[missing] // step_ns - 1).sum())
        findings.warn(
            "missing_bars",
            f"{count:,} candles are missing in {missing.sum():,} gaps",
            "Nothing is filled in; rows behind a gap are named.",
            rows=judged.numbers[missing],
        )
    if long.any():
        days = int(steps[long].max() // DAY_NS)
        findings.warn(
            "long_gap",
            f"there are {long.sum():,} gaps of more than {_LONG_GAP_NS // DAY_NS} days, the "
            f"longest of {days:,} days",
            "Returns over such a gap are not those of one candle.",
            rows=judged.numbers[long],
        )


def _closed_then(judged: Judged, steps: NDArray[np.int64]) -> Mask:
    """Say which gaps are the market's: it has weekends, and they lie over a night or recur."""
    days = judged.times // DAY_NS
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    # A market that trades on most Saturdays never closes.
    if (weekday == 5).mean() > 0.07:
        return np.zeros(len(steps), dtype=np.bool_)
    if judged.is_label:
        return steps < _LONG_GAP_NS
    before = judged.times - steps
    over_night = before // DAY_NS != days
    of_day = before % DAY_NS
    values, inverse, counts = np.unique(of_day, return_inverse=True, return_counts=True)
    del values
    ends = steps > 1.5 * judged.step_ns
    recurring = np.bincount(inverse, weights=ends, minlength=len(counts))[inverse]
    closed: Mask = over_night | (recurring > 0.2 * len(np.unique(days)))
    return closed


def _check_standstill(judged: Judged, findings: Findings) -> None:
    floats = judged.floats
    volume = floats.get("volume")
    idle = floats["high"] == floats["low"]
    if volume is not None:
        idle &= ~(volume > 0)
    if idle.mean() > _STALE_SHARE and len(idle) > 1:
        findings.warn(
            "stale_prices",
            f"in {idle.mean():.0%} of the candles nothing was traded and the price stands still",
            "Fills at such prices are not to be had.",
            rows=judged.numbers[idle],
        )


def _check_volume(judged: Judged, findings: Findings) -> None:
    volume = judged.floats.get("volume")
    if volume is None or np.isnan(volume).all():
        findings.note("no_volume", "the source tells no volume; fills are not limited by it")
    elif not (volume > 0).any():
        findings.warn(
            "volume_all_zero", "the volume is zero in every row",
            "An index has none. Fills that are limited by volume will not happen.",
        )  # fmt: skip


def _check_range(judged: Judged, price: Floats, findings: Findings) -> None:
    beyond = (price >= _PRICE_MAX) | (price < _PRICE_MIN)
    if beyond.any():
        findings.warn(
            "price_beyond_orders",
            f"{beyond.sum():,} prices lie outside 10^-8 to 10^12, where orders can have them",
            "If they are in another unit, set price_scale.",
            rows=judged.numbers[beyond],
        )


def _check_spreads(judged: Judged, findings: Findings) -> None:
    bid, ask = judged.floats["bid"], judged.floats["ask"]
    locked = bid == ask
    if locked.any():
        findings.note("locked_quotes", f"bid equals ask in {locked.sum():,} rows",
                      rows=judged.numbers[locked])  # fmt: skip
    one_sided = np.isnan(bid) | np.isnan(ask)
    if one_sided.any():
        findings.note("one_sided_quotes", f"{one_sided.sum():,} rows have one side only",
                      rows=judged.numbers[one_sided])  # fmt: skip
    wide = (ask - bid) > _WIDE_SPREAD * ask
    if wide.any():
        findings.warn(
            "wide_spread", f"the spread is more than a fifth of the price in {wide.sum():,} rows",
            "Nobody meant to trade at such quotes.", rows=judged.numbers[wide],
        )  # fmt: skip
