"""`alphintra backtest` and `alphintra check`: strategies over recorded data, without a server."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphintra.cli.errors import CommandFailed
from alphintra.cli.output import figure, show_fields, show_json, show_table
from alphintra.cli.parameters import parameter_values

if TYPE_CHECKING:
    from alphintra.engine.portfolio import AccountTerms, Costs
    from alphintra.research import BacktestResult


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a run is told on the command line."""

    strategy: str
    data: Sequence[Path]
    symbols: Sequence[str]
    start: str | None
    end: str | None
    cash: float
    parameters: Sequence[str]
    seed: int
    time_limit_s: float | None
    fee: float = 0.0
    maker_fee: float | None = None
    fee_per_unit: float = 0.0
    minimum_fee: float = 0.0
    slippage_bps: float = 0.0
    spread_bps: float = 0.0
    leverage: float = 1.0
    short: bool = True
    max_gap: str | None = None
    calendar: str | None = None


def run_backtest(
    options: RunOptions,
    *,
    json: bool,
    report: Path | None,
    save: Path | None,
    trades: Path | None,
) -> None:
    """Run a strategy, print its figures and write what was asked for.

    Raises:
        Problem, CommandFailed: the strategy, its parameters or the data are refused.
    """
    from alphintra.research.backtest import backtest
    from alphintra.sdk.resampling import duration_ns

    result = backtest(
        options.strategy,
        list(options.data),
        cash=options.cash,
        costs=_costs(options),
        parameters=parameter_values(options.parameters),
        start=options.start,
        end=options.end,
        symbols=options.symbols,
        account=_account(options),
        seed=options.seed,
        progress=_progress_bar() if sys.stderr.isatty() and not json else None,
        time_limit_s=options.time_limit_s,
        max_gap_ns=duration_ns(options.max_gap) if options.max_gap else None,
        calendar=options.calendar,
    )
    written = _written(result, report=report, save=save, trades=trades)
    if json:
        show_json(result.to_dict(series=False))
        return
    _show(result)
    for path in written:
        print(f"Written: {path}")


def run_check(options: RunOptions, *, json: bool) -> bool:
    """Look for look-ahead and for values that depend on where the data begins; true when clean."""
    from alphintra.research.checks import check

    findings = check(
        options.strategy,
        list(options.data),
        cash=options.cash,
        parameters=parameter_values(options.parameters),
        start=options.start,
        end=options.end,
        symbols=options.symbols,
        calendar=options.calendar,
        seed=options.seed,
        time_limit_s=options.time_limit_s,
    )
    if json:
        show_json({"clean": not findings, "findings": [one.to_dict() for one in findings]})
    elif not findings:
        print("No look-ahead, and nothing depends on where the data begins.")
    for finding in [] if json else findings:
        print(f"✗ {finding.message}  [{finding.code}]\n  {finding.advice}")
    return not any(finding.is_fault for finding in findings)


def _show(result: "BacktestResult") -> None:
    from alphintra.research.doctor import examine, other_warnings
    from alphintra.research.result import HEADLINES

    manifest, metrics = result.manifest, result.metrics
    chosen = ", ".join(f"{name}={value}" for name, value in manifest.parameters.items())
    print(f"{manifest.strategy} ({chosen or 'no parameters'}) on {', '.join(result.symbols)}\n")
    show_fields({name: figure(name, metrics.get(name)) for name in HEADLINES})
    months = {
        "buy and hold": metrics.get("benchmark_return"),
        "fees": float(result.fills["fee"].sum()),
    }
    show_fields({name: figure(name, value) for name, value in months.items()})
    findings = examine(result)
    notes = [(str(finding.severity), finding.evidence) for finding in findings]
    notes += [("note", one.message) for one in other_warnings(result, findings)]
    if notes:
        print()
        show_table(["", "what to know"], notes, empty="")
    for line in result.logs[-20:]:
        print(line)


def _written(
    result: "BacktestResult", *, report: Path | None, save: Path | None, trades: Path | None
) -> list[Path]:
    written = []
    try:
        if report is not None:
            written.append(result.report(report))
        if save is not None:
            from alphintra.research.storing import save_result

            save_result(result, save)
            written.append(save)
        if trades is not None:
            _write_trades(result, trades)
            written.append(trades)
    except OSError as error:
        raise CommandFailed(
            f"{error.filename} cannot be written: {error.strerror}", code="file_not_written"
        ) from None
    return written


def _write_trades(result: "BacktestResult", path: Path) -> None:
    import csv

    from alphintra.research.result import TRADE

    names = [name.replace("_ns", "_time") for name in TRADE.names or ()]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(result.trades_as_dicts())


def _costs(options: RunOptions) -> "Costs":
    from alphintra.engine.portfolio import Costs

    return Costs(
        rate=options.fee,
        maker_rate=options.maker_fee,
        per_unit=options.fee_per_unit,
        minimum=options.minimum_fee,
        slippage_bps=options.slippage_bps,
        half_spread_bps=options.spread_bps / 2,
    )


def _account(options: RunOptions) -> "AccountTerms":
    from alphintra.engine.portfolio import AccountTerms

    return AccountTerms(leverage=options.leverage, allow_short=options.short)


def _progress_bar() -> Any:
    def show(done: float) -> None:
        end = "\r" if done < 1 else "\r" + " " * 20 + "\r"
        print(f"{done:>6.1%} done", end=end, file=sys.stderr, flush=True)

    return show
