"""Strategies from files, market data from files: what can be wrong with them, said where it is."""

import ast
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np

from alphintra.core.errors import BadRequest
from alphintra.engine.series import Bars, Quotes, Series, Times, Trades
from alphintra.research.gaps import MISSING_BARS, gaps_in
from alphintra.research.result import DatasetReference, Warning_, readable
from alphintra.sdk import Strategy, StrategyNotFound, StrategyRefused, Vectorised
from alphintra.sdk.resampling import duration_text
from alphintra.sdk.source import line_in, only_strategy, source_of
from alphintra.strategies.blocks import CompiledGraph

#: A strategy class, a strategy with its parameters chosen, a vectorised function, or blocks.
AnyStrategy = type[Strategy] | Strategy | Vectorised | CompiledGraph
#: What `backtest` takes as data: series, files, or several of them.
Data = Series | str | Path | Sequence[Series | str | Path]
#: A time as people give it; a text is ISO 8601, without a zone UTC; an int nanoseconds.
When = datetime | str | int

#: Before the symbol of data that comes with the product.
_DEMO: Final = "demo:"
_HOME: Final = Path(__file__).parent


class RangeEmpty(BadRequest):
    """There is no data in the range that was asked for. Take one that the data covers."""

    code = "range_empty"


class RangeBackwards(BadRequest):
    """The range ends before it begins. Exchange its start and its end, or correct them."""

    code = "range_backwards"


class GapTooLong(BadRequest):
    """The data has a longer gap than this run allows. Fill it, or allow it."""

    code = "gap_too_long"


class DemoUnknown(BadRequest):
    """The demo data has no such symbol. Take one that it has."""

    code = "demo_unknown"


class TimeUnreadable(BadRequest):
    """A time is not ISO 8601, such as 2024-03-31 or 2024-03-31T16:00:00Z."""

    code = "time_unreadable"


def load_strategy(reference: AnyStrategy | str | Path) -> AnyStrategy:
    """Return a strategy from a file, from the library, or as it was given.

    Args:
        reference: `path/to/file.py`, `path/to/file.py:ClassName` where a file defines several, or
            the name of a strategy of the library (see `library`).

    Raises:
        StrategyNotFound: no such file, no strategy in it, or several and none was named.
        StrategyRefused: the file is not Python, or raises when it is imported.
    """
    if not isinstance(reference, str | Path):
        return reference
    text, _, name = str(reference).partition(".py:")
    path = Path(f"{text}.py" if name else text)
    if not path.suffix and str(path) in library():
        path = library()[str(path)]
    if not path.is_file():
        raise StrategyNotFound(
            f"there is no strategy {reference}; it is neither a file nor one of the library: "
            f"{', '.join(library())}"
        )
    return only_strategy(_import(path), where=str(path), name=name)


@cache
def library() -> dict[str, Path]:
    """Return the strategies that come with the product: a name and the file that defines it."""
    # In an installation they lie in the package, in a checkout where people read them.
    folders = (_HOME / "library", _HOME.parents[2] / "examples" / "strategies")
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        return {}
    return {
        path.stem: path
        for path in sorted(folder.glob("*.py"))
        if "from alphintra.sdk import" in path.read_text()
    }


def strategy_name(strategy: AnyStrategy) -> str:
    """Return what a strategy is called."""
    if isinstance(strategy, type | Vectorised):
        return strategy.__name__
    if isinstance(strategy, CompiledGraph):
        return strategy.name
    return type(strategy).__name__


def strategy_form(strategy: AnyStrategy) -> str:
    """Return how a strategy runs: "python", "vectorised", or "compiled"."""
    if isinstance(strategy, CompiledGraph):
        return "compiled"
    return "vectorised" if isinstance(strategy, Vectorised) else "python"


def strategy_sha256(strategy: AnyStrategy) -> str:
    """Return a hash of the source of a strategy: of its whole file, where there is one."""
    if isinstance(strategy, CompiledGraph):
        return hashlib.sha256(strategy.source.encode()).hexdigest()
    if (text := source_of(strategy)) is not None:
        return hashlib.sha256(text.encode()).hexdigest()
    owner: object = strategy
    if isinstance(strategy, Vectorised):
        owner = strategy.function
    elif not isinstance(strategy, type):
        owner = type(strategy)
    try:
        file = inspect.getsourcefile(owner)  # type: ignore[arg-type]
        source = Path(file).read_text() if file else ""
    except (OSError, TypeError):
        source = ""
    if not source:  # typed into a notebook or made by `type`
        source = repr(owner) + repr(sorted(vars(owner)) if hasattr(owner, "__dict__") else "")
    return hashlib.sha256(source.encode()).hexdigest()


def load_data(
    data: Data,
    *,
    start: When | None = None,
    end: When | None = None,
    symbols: Sequence[str] = (),
) -> list[Series]:
    """Return the series of a run, cut to [start, end).

    Args:
        data: series, Parquet or CSV files, or several of them; each file is one series. "demo:AAPL"
            is daily data of the years 2000 to 2013 that comes with the product.
        start, end: see `parse_time`; an end that is a date includes that day.
        symbols: what the series are called, in their order, in place of what the files say; with
            one file that holds several symbols, those that are taken.

    Raises:
        RangeEmpty, RangeBackwards: nothing is left, or could be.
        BadSeries and what `market.datasets.read_series` raises: the detail names the row.
    """
    parts = [data] if isinstance(data, Bars | Quotes | Trades | str | Path) else list(data)
    if len(parts) == 1 and len(symbols) > 1:
        parts *= len(symbols)
    if symbols and len(symbols) != len(parts):
        raise BadRequest(f"{len(parts)} series cannot be called {', '.join(symbols)}")
    names: Iterable[str | None] = symbols or [None] * len(parts)
    loaded = [_read(part, name) for part, name in zip(parts, names, strict=True)]
    if not loaded:
        raise RangeEmpty("no data was given")
    first = parse_time(start) if start is not None else -(2**63)
    last = parse_time(end, end_of_day=True) if end is not None else 2**63 - 1
    if first >= last:
        raise RangeBackwards(
            f"the data is to start at {start} and to end at {end}, which is not after it"
        )
    if start is None and end is None:
        cut = loaded
    else:
        cut = [part.between(first, last) for part in loaded]
    for whole, part in zip(loaded, cut, strict=True):
        if len(part) == 0:
            raise RangeEmpty(_empty_range(whole, first, last), symbol=whole.symbol)
    return cut


def parse_time(when: When, *, end_of_day: bool = False) -> int:
    """Return a time in nanoseconds since the UNIX epoch.

    Args:
        when: a datetime (naive: UTC), ISO 8601, or nanoseconds.
        end_of_day: a text that is only a date means the end of that day.

    Raises:
        TimeUnreadable: none of these.
    """
    if isinstance(when, int):
        return when
    if isinstance(when, str):
        try:
            at = datetime.fromisoformat(when)
        except ValueError:
            raise TimeUnreadable(f"{when!r} is not a time such as 2024-03-31") from None
        if end_of_day and len(when.strip()) <= len("2024-03-31"):
            at += timedelta(days=1)
    else:
        at = when
    at = at.replace(tzinfo=at.tzinfo or UTC)
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1_000


def dataset_reference(series: Series) -> DatasetReference:
    """Return what a manifest says of a series."""
    times = _times(series)
    digest = hashlib.sha256(f"{type(series).__name__} {series.symbol}".encode())
    for column in _columns(series):
        digest.update(np.ascontiguousarray(column).data)
    timeframe = ""
    if isinstance(series, Bars) and len(series):
        timeframe = duration_text(series.length_ns)
    return DatasetReference(
        name=f"{series.symbol} {timeframe or type(series).__name__.lower()}",
        sha256=digest.hexdigest(),
        symbol=series.symbol,
        rows=len(series),
        first_ns=int(times[0]),
        last_ns=int(times[-1]),
        timeframe=timeframe,
    )


def find_gaps(series: Sequence[Series], *, max_gap_ns: int | None = None) -> list[Warning_]:
    """Return a warning for each series of bars with holes: how many, and where the longest is.

    Raises:
        GapTooLong: one is longer than `max_gap_ns`.
    """
    found = []
    for part in series:
        if not isinstance(part, Bars) or len(part) < 3:
            continue
        holes = part.open_ns[1:] - part.close_ns[:-1]
        longest = int(np.argmax(holes))
        if max_gap_ns is not None and holes[longest] > max_gap_ns:
            told = _told(part, holes, longest)
            raise GapTooLong(f"{part.symbol}: there are no bars for {told}", row=longest)
        rows = gaps_in(part)
        if len(rows):
            longest = int(rows[np.argmax(holes[rows])])
            gaps = "a gap" if len(rows) == 1 else f"{len(rows)} gaps"
            found.append(
                Warning_(
                    code="data_gaps",
                    message=f"{part.symbol} has {gaps} of more than {MISSING_BARS} bars, "
                    f"the longest {_told(part, holes, longest)}",
                )
            )
    return found


def _told(bars: Bars, holes: Times, row: int) -> str:
    length = duration_text(int(holes[row]) // 1_000_000_000 * 1_000_000_000)
    return f"{length} after {readable(int(bars.close_ns[row]))} (row {row})"


def _read(part: Series | str | Path, name: str | None) -> Series:
    if not isinstance(part, str | Path):
        return part
    from alphintra.market.datasets import read_series

    return read_series(_demo_file(str(part)) if str(part).startswith(_DEMO) else part, name)


def _demo_file(reference: str) -> Path:
    """Return the file of daily prices that comes with the product: "demo:AAPL"."""
    folder = _HOME.parent / "market" / "demo"
    found = {path.stem.split("_")[0]: path for path in sorted(folder.glob("*_1d.parquet"))}
    symbol = reference.removeprefix(_DEMO).upper()
    if symbol not in found:
        raise DemoUnknown(f"there is no {symbol} in the demo data; it has: {', '.join(found)}")
    return found[symbol]


def _empty_range(whole: Series, first: int, last: int) -> str:
    if len(whole) == 0:
        return f"{whole.symbol} has no rows"
    times = _times(whole)
    wanted = " to ".join(
        "the beginning" if at == -(2**63) else "the end" if at == 2**63 - 1 else readable(at)
        for at in (first, last)
    )
    return (
        f"{whole.symbol} has no rows from {wanted}; its data goes from "
        f"{readable(int(times[0]))} to {readable(int(times[-1]))}"
    )


def _times(series: Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return series.open_ns if isinstance(series, Bars) else series.ts_ns


def _columns(series: Series) -> list[np.ndarray[tuple[int], np.dtype[np.generic]]]:
    if isinstance(series, Bars):
        return [
            series.open_ns, series.close_ns, series.open, series.high, series.low, series.close,
            series.volume,
        ]  # fmt: skip
    if isinstance(series, Quotes):
        return [series.ts_ns, series.bid, series.ask, series.bid_size, series.ask_size]
    return [series.ts_ns, series.price, series.size, series.side]


def _import(path: Path) -> ModuleType:
    source = path.read_bytes()
    try:
        ast.parse(source, filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise StrategyRefused(
            f"{path}, line {line}: {getattr(error, 'msg', error)}", file=str(path), line=line
        ) from error
    # A name of its own for every version of every file, so that none is taken for another.
    name = f"alphintra_strategy_{hashlib.sha256(str(path.resolve()).encode() + source).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StrategyRefused(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BadRequest:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        line = line_in(error, str(path))
        raise StrategyRefused(
            f"{path}, line {line}: {type(error).__name__}: {error}", file=str(path), line=line
        ) from error
    return module
