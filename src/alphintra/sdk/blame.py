"""Errors of a strategy, told with the place in its code and the time it had reached."""

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import alphintra
from alphintra.engine.portfolio import NoAuction
from alphintra.engine.series import DAY_NS
from alphintra.sdk.errors import RunCancelled, StrategyFailed, StrategyOutOfTime
from alphintra.sdk.feed import Feed
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.views import moment

_PRODUCT = Path(alphintra.__file__).parent


@contextmanager
def blamed(strategy: Strategy, feed: Feed) -> Iterator[None]:
    """Turn what a strategy raises into an error that names file, line, hook, time and symbol.

    Raises:
        StrategyFailed: the strategy raised.
        NoAuction: it gave an order for an auction that the run does not know of.
    """
    try:
        yield
    except RunCancelled:
        raise
    except StrategyOutOfTime as error:
        place = _place(error.__cause__ or error, strategy)
        raise StrategyOutOfTime(f"{_where(place, feed)}: {error.detail}") from error
    except NoAuction as error:  # the run lacks a calendar, the strategy is as it should be
        where = _where(_place(error, strategy), feed)
        raise NoAuction(f"{where}: {error.detail}; give the run a calendar") from error
    except Exception as error:
        place = _place(error, strategy)
        raise StrategyFailed(
            f"{_where(place, feed)}: {type(error).__name__}: {error}",
            file=place[0],
            line=place[1],
            time=moment(feed.now_ns).isoformat(),
        ) from error


def _where(place: tuple[str, int | None, str], feed: Feed) -> str:
    file, line, function = place
    where = f"{file}, line {line}, in {function}"
    if feed.row < 0:
        return where
    symbol = feed.symbols[feed.symbol_at_hand]
    # A bar of a day ends just before midnight, and people call it by its day.
    is_day = (feed.now_ns + 1) % DAY_NS == 0
    at = f"{moment(feed.now_ns):{'%Y-%m-%d' if is_day else '%Y-%m-%dT%H:%M:%SZ'}}"
    return f"{where}, at {at} on {symbol}"


def _place(error: BaseException, strategy: Strategy) -> tuple[str, int | None, str]:
    """Return the innermost frame of the user's code: of the strategy's file, else of any other."""
    frames = traceback.extract_tb(error.__traceback__)
    try:
        own = inspect.getfile(type(strategy))
    except (OSError, TypeError):  # typed into a prompt
        own = ""
    theirs = [frame for frame in frames if frame.filename == own]
    if not theirs:
        theirs = [frame for frame in frames if not Path(frame.filename).is_relative_to(_PRODUCT)]
    last = (theirs or list(frames))[-1]
    return last.filename, last.lineno, last.name
