"""The arithmetic of the indicators that TA-Lib lacks.

A kernel takes any number of bars and goes on where it stopped: all bars in one call are the batch,
one bar a call is the stream. It is the same machine code, so the bits are the same.

    kernel(state, x, p, out)

state   shape (s,), zeros at first; `state[0]` counts the bars before these
x       shape (inputs, n), finite
p       shape (parameters,), in the order in which the indicator declares them
out     shape (outputs, n), NaN where there is no value yet

Windows are summed anew at each bar instead of being carried on: no rounding adds up, whatever the
length of the series. A window is a ring in `state`.
"""

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Floats = NDArray[np.float64]

_LIMIT_OF_FISHER: Final = 0.999
_MCGINLEY_CONSTANT: Final = 0.6


def _compiled(function: _Function) -> _Function:
    return cast(_Function, numba.njit(cache=True)(function))


@_compiled
def _mean(window: _Floats) -> float:
    total = 0.0
    for value in window:
        total += value
    return total / window.size


@_compiled
def _deviation(window: _Floats, mean: float, freedom: int) -> float:
    total = 0.0
    for value in window:
        total += (value - mean) * (value - mean)
    return math.sqrt(total / (window.size - freedom))


@_compiled
def _highest(window: _Floats) -> float:
    found = float(window[0])
    for value in window:
        found = max(found, value)
    return found


@_compiled
def _lowest(window: _Floats) -> float:
    found = float(window[0])
    for value in window:
        found = min(found, value)
    return found


@_compiled
def _true_range(high: float, low: float, before: float) -> float:
    return max(high - low, abs(high - before), abs(low - before))


@_compiled
def _wilder(state: _Floats, value: float, period: int) -> float:
    """Carry Wilder's average on: `state` is how many values there were, and their mean."""
    if state[0] < period:
        state[1] += value
        state[0] += 1
        if state[0] < period:
            return math.nan
        state[1] /= period
        return float(state[1])
    state[1] = (state[1] * (period - 1) + value) / period
    return float(state[1])


@_compiled
def _rsi(state: _Floats, change: float, period: int) -> float:
    """Carry Wilder's RSI on; 50 when nothing has moved. `state` has four places."""
    gain = _wilder(state[0:2], max(change, 0.0), period)
    loss = _wilder(state[2:4], max(-change, 0.0), period)
    if gain + loss == 0.0:
        return 50.0
    return 100.0 * gain / (gain + loss)


@_compiled
def session_vwap(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    # After the count: session, volume, mean price, weighted squares around it.
    for i in range(x.shape[1]):
        if state[0] == 0 or x[4, i] != state[1]:
            state[1] = x[4, i]
            state[2:5] = 0.0
        price = (x[0, i] + x[1, i] + x[2, i]) / 3.0
        volume = x[3, i]
        state[2] += volume
        deviation = 0.0
        mean = price
        if state[2] > 0.0:
            apart = price - state[3]
            state[3] += apart * volume / state[2]
            state[4] += volume * apart * (price - state[3])
            mean = state[3]
            deviation = math.sqrt(max(state[4], 0.0) / state[2])
        out[0, i] = mean
        out[1, i] = mean + p[0] * deviation
        out[2, i] = mean - p[0] * deviation
        state[0] += 1


@_compiled
def _middle(highs: _Floats, lows: _Floats, count: int, period: int) -> float:
    """Return the middle of the range of the last `period` of `count` bars in two rings."""
    size = highs.size
    high, low = -math.inf, math.inf
    for back in range(period):
        place = (count - 1 - back) % size
        high, low = max(high, highs[place]), min(low, lows[place])
    return (high + low) / 2.0


@_compiled
def ichimoku(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    conversion, base, span, shift = int(p[0]), int(p[1]), int(p[2]), int(p[3])
    longest = max(conversion, base, span)
    highs, lows = state[1 : 1 + longest], state[1 + longest : 1 + 2 * longest]
    # The spans wait in rings until they are due, `shift` bars on.
    ahead_a = state[1 + 2 * longest : 2 + 2 * longest + shift]
    ahead_b = state[2 + 2 * longest + shift : 3 + 2 * longest + 2 * shift]
    for i in range(x.shape[1]):
        at = int(state[0])
        highs[at % longest], lows[at % longest] = x[0, i], x[1, i]
        count = at + 1
        state[0] = count
        fast = _middle(highs, lows, count, conversion) if count >= conversion else math.nan
        slow = _middle(highs, lows, count, base) if count >= base else math.nan
        ahead_a[at % (shift + 1)] = (fast + slow) / 2.0
        ahead_b[at % (shift + 1)] = _middle(highs, lows, count, span) if count >= span else math.nan
        out[0, i], out[1, i] = fast, slow
        due = (at - shift) % (shift + 1)
        out[2, i] = ahead_a[due] if at >= shift else math.nan
        out[3, i] = ahead_b[due] if at >= shift else math.nan


@_compiled
def alma(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    period = int(p[0])
    centre, width = p[1] * (period - 1), period / p[2]
    window = state[1:]
    for i in range(x.shape[1]):
        at = int(state[0])
        window[at % period] = x[0, i]
        state[0] = at + 1
        out[0, i] = math.nan
        if at + 1 >= period:
            total, weights = 0.0, 0.0
            for number in range(period):
                weight = math.exp(-((number - centre) ** 2) / (2.0 * width * width))
                total += weight * window[(at + 1 + number) % period]
                weights += weight
            out[0, i] = total / weights


@_compiled
def choppiness(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    period = int(p[0])
    highs, lows = state[2 : 2 + period], state[2 + period : 2 + 2 * period]
    ranges = state[2 + 2 * period :]
    for i in range(x.shape[1]):
        at = int(state[0])
        highs[at % period], lows[at % period] = x[0, i], x[1, i]
        if at > 0:
            ranges[at % period] = _true_range(x[0, i], x[1, i], state[1])
        state[0], state[1] = at + 1, x[2, i]
        out[0, i] = math.nan
        if at >= period:
            width = _highest(highs) - _lowest(lows)
            path = _mean(ranges) * period
            out[0, i] = 100.0
            if width > 0.0:
                out[0, i] = 100.0 * math.log10(path / width) / math.log10(period)


@_compiled
def fisher(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    # After the count: the smoothed position in the range, and the transform, of the bar before.
    period = int(p[0])
    window = state[3:]
    for i in range(x.shape[1]):
        at = int(state[0])
        middle = (x[0, i] + x[1, i]) / 2.0
        window[at % period] = middle
        state[0] = at + 1
        out[0, i] = out[1, i] = math.nan
        if at + 1 >= period:
            low = _lowest(window)
            width = _highest(window) - low
            position = (middle - low) / width - 0.5 if width > 0.0 else 0.0
            value = 0.66 * position + 0.67 * state[1]
            value = min(max(value, -_LIMIT_OF_FISHER), _LIMIT_OF_FISHER)
            out[1, i] = state[2]
            state[1] = value
            state[2] = 0.5 * math.log((1.0 + value) / (1.0 - value)) + 0.5 * state[2]
            out[0, i] = state[2]


@_compiled
def connors_rsi(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    # After the count: the close before, the streak, two RSI of four places, the changes.
    rsi_period, streak_period, rank_period = int(p[0]), int(p[1]), int(p[2])
    changes = state[11:]
    for i in range(x.shape[1]):
        at = int(state[0])
        close, before = x[0, i], state[1]
        state[0], state[1] = at + 1, close
        out[0, i] = math.nan
        if at == 0:
            continue
        streak = state[2]
        if close > before:
            state[2] = max(streak, 0.0) + 1.0
        elif close < before:
            state[2] = min(streak, 0.0) - 1.0
        else:
            state[2] = 0.0
        of_price = _rsi(state[3:7], close - before, rsi_period)
        of_streak = _rsi(state[7:11], state[2] - streak, streak_period)
        change = close / before - 1.0 if before != 0.0 else 0.0
        below = 0
        for value in changes:
            if value < change:
                below += 1
        changes[at % rank_period] = change
        if at > rank_period:  # as many changes before this one
            rank = 100.0 * below / rank_period
            out[0, i] = (of_price + of_streak + rank) / 3.0


@_compiled
def z_score(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    period = int(p[0])
    window = state[1:]
    for i in range(x.shape[1]):
        at = int(state[0])
        window[at % period] = x[0, i]
        state[0] = at + 1
        out[0, i] = math.nan
        if at + 1 >= period:
            mean = _mean(window)
            deviation = _deviation(window, mean, 0)
            out[0, i] = (x[0, i] - mean) / deviation if deviation > 0.0 else 0.0


@_compiled
def bollinger_percent(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    period = int(p[0])
    window = state[1:]
    for i in range(x.shape[1]):
        at = int(state[0])
        window[at % period] = x[0, i]
        state[0] = at + 1
        out[0, i] = out[1, i] = math.nan
        if at + 1 >= period:
            mean = _mean(window)
            deviation = _deviation(window, mean, 0)
            low, width = mean - p[2] * deviation, (p[1] + p[2]) * deviation
            out[0, i] = (x[0, i] - low) / width if width > 0.0 else 0.5
            out[1, i] = width / mean if mean != 0.0 else 0.0


@_compiled
def chandelier(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    # After the count: the close before, Wilder's average of two places.
    period = int(p[0])
    highs, lows = state[4 : 4 + period], state[4 + period :]
    for i in range(x.shape[1]):
        at = int(state[0])
        highs[at % period], lows[at % period] = x[0, i], x[1, i]
        average = math.nan
        if at > 0:
            average = _wilder(state[2:4], _true_range(x[0, i], x[1, i], state[1]), period)
        state[0], state[1] = at + 1, x[2, i]
        out[0, i] = out[1, i] = math.nan
        if at >= period:
            out[0, i] = _highest(highs) - p[1] * average
            out[1, i] = _lowest(lows) + p[1] * average


@_compiled
def atr_stop(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    # After the count: the close before, Wilder's average, upper and lower stop, 1 in an up-trend.
    period = int(p[0])
    for i in range(x.shape[1]):
        at = int(state[0])
        close, before = x[2, i], state[1]
        average = math.nan
        if at > 0:
            average = _wilder(state[2:4], _true_range(x[0, i], x[1, i], before), period)
        state[0], state[1] = at + 1, close
        out[0, i] = out[1, i] = math.nan
        if at < period:
            continue
        upper, lower = close + p[1] * average, close - p[1] * average
        if at == period:
            state[4], state[5], state[6] = upper, lower, 1.0 if close >= before else -1.0
        # A stop never moves away from the price, unless the close before has passed it.
        if upper < state[4] or before > state[4]:
            state[4] = upper
        if lower > state[5] or before < state[5]:
            state[5] = lower
        falls = close <= (state[5] if state[6] > 0 else state[4])
        state[6] = -1.0 if falls else 1.0
        out[0, i] = state[4] if falls else state[5]
        out[1, i] = state[6]


@_compiled
def historical_volatility(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    period = int(p[0])
    window = state[2:]
    for i in range(x.shape[1]):
        at = int(state[0])
        close, before = x[0, i], state[1]
        state[0], state[1] = at + 1, close
        out[0, i] = math.nan
        if at > 0:
            usable = close > 0.0 and before > 0.0
            window[at % period] = math.log(close / before) if usable else 0.0
        if at >= period:
            out[0, i] = _deviation(window, _mean(window), 1) * math.sqrt(p[1])


@_compiled
def parkinson(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    period = int(p[0])
    window = state[1:]
    for i in range(x.shape[1]):
        at = int(state[0])
        usable = x[0, i] > 0.0 and x[1, i] > 0.0
        width = math.log(x[0, i] / x[1, i]) if usable else 0.0
        window[at % period] = width * width
        state[0] = at + 1
        out[0, i] = math.nan
        if at + 1 >= period:
            out[0, i] = math.sqrt(p[1] * _mean(window) / (4.0 * math.log(2.0)))


@_compiled
def mcginley(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    for i in range(x.shape[1]):
        value, before = x[0, i], state[1]
        if state[0] > 0 and before != 0.0 and value != 0.0:
            ratio = value / before
            value = before + (value - before) / (_MCGINLEY_CONSTANT * p[0] * ratio**4)
        state[0] += 1
        state[1] = out[0, i] = value


@_compiled
def know_sure_thing(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    # After the count: a ring of closes, one of rates of change for each of four, one of the line.
    longest = 1
    for number in range(4):
        longest = max(longest, int(p[number]) + 1)
    closes = state[1 : 1 + longest]
    signal = int(p[8])
    for i in range(x.shape[1]):
        at = int(state[0])
        closes[at % longest] = x[0, i]
        state[0] = at + 1
        line, place, known = 0.0, 1 + longest, 0
        for number in range(4):
            change_period, mean_period = int(p[number]), int(p[4 + number])
            ring = state[place : place + mean_period]
            place += mean_period
            if at >= change_period:
                before = closes[(at - change_period) % longest]
                ring[at % mean_period] = 100.0 * (x[0, i] / before - 1.0) if before != 0.0 else 0.0
            if at >= change_period + mean_period - 1:
                known += 1
                line += (number + 1) * _mean(ring)
        out[0, i] = out[1, i] = math.nan
        if known == 4:
            lines = state[place : place + signal]
            lines[at % signal] = line
            state[place + signal] += 1
            out[0, i] = line
            if state[place + signal] >= signal:
                out[1, i] = _mean(lines)


@_compiled
def ulcer(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    period = int(p[0])
    window = state[1:]
    for i in range(x.shape[1]):
        at = int(state[0])
        window[at % period] = x[0, i]
        state[0] = at + 1
        out[0, i] = math.nan
        if at + 1 >= period:
            highest, total = window[(at + 1) % period], 0.0
            for number in range(period):
                value = window[(at + 1 + number) % period]
                highest = max(highest, value)
                below = 100.0 * (value - highest) / highest if highest != 0.0 else 0.0
                total += below * below
            out[0, i] = math.sqrt(total / period)


@_compiled
def lag(state: _Floats, x: _Floats, p: _Floats, out: _Floats) -> None:
    bars = int(p[0])
    window = state[1:]
    for i in range(x.shape[1]):
        at = int(state[0])
        out[0, i] = window[at % bars] if at >= bars else math.nan
        window[at % bars] = x[0, i]
        state[0] = at + 1
