"""`alphintra optimize`, `walkforward`, `montecarlo`: searches over recorded data, no server."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphintra.cli.errors import CommandFailed
from alphintra.cli.output import JsonOption, show_fields, show_json, show_table

if TYPE_CHECKING:
    from alphintra.research.result import Warning_
    from alphintra.research.search import Progress, Search

StrategyArgument = Annotated[
    str,
    typer.Argument(help="A file, file.py:ClassName, or a name of the library.", metavar="STRATEGY"),
]
SeriesOption = Annotated[
    list[Path],
    typer.Option("--data", "-d", help="Parquet or CSV, one symbol each; repeat for several."),
]
SymbolsOption = Annotated[
    list[str] | None,
    typer.Option("--symbol", help="What to call the data, or which symbol of it; in its order."),
]
FromOption = Annotated[str | None, typer.Option("--from", help="From this time on, ISO 8601.")]
ToOption = Annotated[
    str | None, typer.Option("--to", help="Up to this time; a date includes its day.")
]
CashOption = Annotated[float, typer.Option(min=1, help="Money at the start.")]
FeeOption = Annotated[float, typer.Option(help="Fee rate of every fill: 0.001 is 0.1 %.")]
SlippageOption = Annotated[float, typer.Option("--slippage-bps", min=0, help="In basis points.")]
RangesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param", "-p",
        help="NAME=5:50:5 searches a range, NAME=5,10 these values, NAME the declared range; "
        "NAME=5 is fixed. Without any range all that the strategy declares is searched.",
    ),
]  # fmt: skip
MethodOption = Annotated[str, typer.Option(help="grid, random, tpe, cmaes or nsga2.")]
ObjectiveOption = Annotated[
    list[str] | None,
    typer.Option(help="A figure; -NAME makes it small; repeat for several.", show_default=False),
]
TrialsOption = Annotated[
    int | None, typer.Option(min=1, help="How many at most; 100, or the whole grid.")
]
RuleOption = Annotated[
    list[str] | None,
    typer.Option("--rule", help='On parameters or figures: "fast < slow", "max_drawdown > -0.3".'),
]
MinimumTradesOption = Annotated[
    int, typer.Option("--min-trades", min=0, help="Trials with fewer trades do not count.")
]
SeedOption = Annotated[int, typer.Option(help="Of everything that is drawn.")]
ComputeOption = Annotated[
    str | None, typer.Option(help="local, local:N, inline, ray, ray://…; else ALPHINTRA_COMPUTE.")
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", help="Write a page (.html) or all values (.json).")
]
RowsOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many trials to show.")]


def optimize(
    strategy: StrategyArgument,
    data: SeriesOption,
    symbol: SymbolsOption = None,
    start: FromOption = None,
    end: ToOption = None,
    cash: CashOption = 100_000.0,
    fee: FeeOption = 0.0,
    slippage_bps: SlippageOption = 0.0,
    param: RangesOption = None,
    method: MethodOption = "grid",
    objective: ObjectiveOption = None,
    trials: TrialsOption = None,
    rule: RuleOption = None,
    minimum_trades: MinimumTradesOption = 0,
    seed: SeedOption = 0,
    storage: Annotated[str | None, typer.Option(help="An Optuna storage to go on in.")] = None,
    study: Annotated[str | None, typer.Option(help="The study's name there.")] = None,
    compute: ComputeOption = None,
    limit: RowsOption = 10,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Search for the parameters of a strategy, and say how far the best can be believed.

    Ctrl-C ends the search and shows what was done so far.

    \b
    alphintra optimize sma_cross --data SPY.parquet --param fast=5:50:5 --param slow=20:200:10
    """
    from alphintra.research.search import optimise

    searched, fixed = read_ranges(param or [])
    with _interruptible() as cancelled:
        found = optimise(
            strategy,
            list(data),
            search=searched,
            parameters=fixed,
            method=method,
            objective=objective or ["sharpe_ratio"],
            trials=trials,
            rules=rule or [],
            minimum_trades=minimum_trades,
            seed=seed,
            start=start,
            end=end,
            storage=storage,
            study=study,
            compute=compute,
            progress=_progress(json),
            cancelled=cancelled,
            symbols=symbol or (),
            cash=cash,
            costs=_costs(fee, slippage_bps),
        )
    if report is not None:
        _written(found.report, report, quiet=json)
    if json:
        show_json(found.to_dict())
    else:
        _show_search(found, limit)


def walkforward(
    strategy: StrategyArgument,
    data: SeriesOption,
    train: Annotated[float, typer.Option(help="Days to search in, before each test.")],
    test: Annotated[float, typer.Option(help="Days to trade in, after each search.")],
    anchored: Annotated[
        bool, typer.Option("--anchored", help="Always search from the beginning.")
    ] = False,
    embargo: Annotated[float, typer.Option(min=0, help="Days left out between them.")] = 0.0,
    symbol: SymbolsOption = None,
    start: FromOption = None,
    end: ToOption = None,
    cash: CashOption = 100_000.0,
    fee: FeeOption = 0.0,
    slippage_bps: SlippageOption = 0.0,
    param: RangesOption = None,
    method: MethodOption = "grid",
    objective: Annotated[str, typer.Option(help="A figure; -NAME makes it small.")] = (
        "sharpe_ratio"
    ),
    trials: TrialsOption = None,
    rule: RuleOption = None,
    minimum_trades: MinimumTradesOption = 0,
    seed: SeedOption = 0,
    compute: ComputeOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Search in one stretch of time, trade in the next, and so on: what a habit of it would earn.

    \b
    alphintra walkforward sma_cross --data SPY.parquet --train 730 --test 180 --param fast=5:50:5
    """
    from alphintra.research.search import walk_forward

    searched, fixed = read_ranges(param or [])
    with _interruptible() as cancelled:
        found = walk_forward(
            strategy,
            list(data),
            train_days=train,
            test_days=test,
            anchored=anchored,
            embargo_days=embargo,
            search=searched,
            parameters=fixed,
            method=method,
            objective=objective,
            trials=trials,
            rules=rule or [],
            minimum_trades=minimum_trades,
            seed=seed,
            start=start,
            end=end,
            compute=compute,
            progress=_progress(json),
            cancelled=cancelled,
            symbols=symbol or (),
            cash=cash,
            costs=_costs(fee, slippage_bps),
        )
    if report is not None:
        _written(found.report, report, quiet=json)
    if json:
        show_json(found.to_dict(series=False))
        return
    columns = ("searched until", "traded", "parameters", "in sample", "out of sample", "trades")
    show_table(columns, map(_window_row, found.steps), empty="There was no window.")
    efficiency = _figure(None) if found.efficiency is None else f"{found.efficiency:.0%}"
    shown: dict[str, object] = {name: _figure(value) for name, value in found.metrics.items()}
    show_fields(shown | {"efficiency": efficiency, "trials": found.trials_counted})


def montecarlo(
    strategy: StrategyArgument,
    data: SeriesOption,
    method: Annotated[
        str, typer.Option(help="stationary, blocks, trades, trades_replaced or jitter.")
    ] = "stationary",
    paths: Annotated[int, typer.Option(min=1, help="How many.")] = 10_000,
    block: Annotated[float | None, typer.Option(min=1, help="Days of a block.")] = None,
    ruin: Annotated[float, typer.Option(help="A fall by this fraction counts as ruin.")] = 0.5,
    share: Annotated[float, typer.Option(help="jitter: how far parameters are moved.")] = 0.1,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE; repeat for several.")
    ] = None,
    symbol: SymbolsOption = None,
    start: FromOption = None,
    end: ToOption = None,
    cash: CashOption = 100_000.0,
    fee: FeeOption = 0.0,
    slippage_bps: SlippageOption = 0.0,
    seed: SeedOption = 0,
    compute: ComputeOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Draw many paths from a backtest: its trades or days in another order, or other parameters.

    \b
    alphintra montecarlo sma_cross --data SPY.parquet --method stationary --ruin 0.3
    """
    from alphintra.research.backtest import backtest
    from alphintra.research.search import monte_carlo, parameter_jitter
    from alphintra.research.search.montecarlo import summary_rows

    searched, fixed = read_ranges(param or [])
    if searched:
        raise CommandFailed("a simulation takes values, not ranges", code="search_refused")
    common: dict[str, Any] = {
        "parameters": fixed, "start": start, "end": end, "symbols": symbol or (), "cash": cash,
        "costs": _costs(fee, slippage_bps), "seed": seed,
    }  # fmt: skip
    with _interruptible() as cancelled:
        if method == "jitter":
            if report is not None:
                raise CommandFailed("there is no report of jitter", code="search_refused")
            moved = parameter_jitter(
                strategy, list(data), share=share, paths=min(paths, 1_000), compute=compute,
                progress=_progress(json), cancelled=cancelled, **common,
            )  # fmt: skip
            document = moved.to_dict()
            rows: list[tuple[str, object]] = [
                (f"{name}, {label}", value)
                for name, figure in moved.figures.items()
                for label, value in (
                    ("5 %", figure.percentiles[5]),
                    ("median", figure.percentiles[50]),
                    ("95 %", figure.percentiles[95]),
                    ("observed", figure.observed),
                )
            ]
        else:
            result = backtest(strategy, list(data), cancelled=cancelled, **common)
            found = monte_carlo(
                result, method=method, paths=paths, block=block, ruin=ruin, seed=seed,
                cancelled=cancelled,
            )  # fmt: skip
            if report is not None:
                _written(found.report, report, quiet=json)
            document, rows = found.to_dict(), summary_rows(found)
    if json:
        show_json(document)
    else:
        show_fields({name: _figure(value) for name, value in rows})


def read_ranges(texts: Sequence[str]) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Return what is searched (`None`: all that is declared) and what is fixed."""
    searched: dict[str, Any] = {}
    fixed: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not name or (equals and not value):
            raise CommandFailed(
                f"--param {text}: give it as NAME=VALUE, NAME=FROM:TO:STEP, NAME=A,B or NAME",
                code="parameter_refused",
            )
        if not equals:
            searched[name] = None
        elif ":" in value or "," in value:
            searched[name] = value
        else:
            fixed[name] = value
    return searched or None, fixed


def _costs(fee: float, slippage_bps: float) -> Any:
    from alphintra.engine.portfolio import Costs

    return Costs(rate=fee, slippage_bps=slippage_bps)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C end the work in good order; the second ends it at once."""
    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped:
            raise KeyboardInterrupt
        stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _progress(json: bool) -> "Callable[[Progress], None] | None":
    if json or not sys.stderr.isatty():
        return None

    def show(progress: "Progress") -> None:
        end = "\n" if progress.done == progress.total else ""
        print(f"\r{progress!s:<70}", end=end, file=sys.stderr, flush=True)

    return show


def _written(write: Callable[[Path], Path], path: Path, *, quiet: bool) -> None:
    try:
        write(path)
    except OSError as error:
        raise CommandFailed(
            f"{path} cannot be written: {error.strerror}", code="file_not_written"
        ) from None
    if not quiet:
        print(f"Written: {path}")


def _show_search(found: "Search", limit: int) -> None:
    searched = found.space.searched
    figures = list(
        dict.fromkeys(
            [one.metric for one in found.objectives]
            + ["total_return", "max_drawdown", "total_trades"]
        )
    )
    ranked = found.front if len(found.objectives) > 1 else found.ranked()
    rows = [
        [trial.parameters[name] for name in searched]
        + [_figure(trial.metrics.get(name)) for name in figures]
        for trial in ranked[:limit]
        if trial.failure is None
    ]
    show_table([*searched, *figures], rows, empty="No trial worked.")
    told = found.credibility
    if not found.complete:
        print("The search was ended before its end.")
    show_fields(
        {
            "trials": told.trials_counted,
            "deflated Sharpe ratio": _figure(told.deflated_sharpe_ratio),
            "probability of overfitting": _figure(told.probability_of_overfitting),
        }
    )
    _show_warnings(told.warnings)


def _show_warnings(warnings: "Sequence[Warning_]") -> None:
    for warning in warnings:
        print(f"⚠ {warning.message}  [{warning.code}]")


def _window_row(step: Any) -> Sequence[object]:
    row = step.to_dict()
    chosen = row["parameters"] or {}
    return [
        row["train_end"][:10],
        f"{row['test_start'][:10]} – {row['test_end'][:10]}",
        ", ".join(f"{name}={value}" for name, value in chosen.items()),
        _figure(row["in_sample"]),
        _figure(row["out_of_sample"]),
        _figure(row["total_trades"]),
    ]


def _figure(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 or value == int(value) else f"{value:.4g}"
    return str(value)
