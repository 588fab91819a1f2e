"""The tree of commands. A group is a module of its own; this one holds what stands alone."""

from pathlib import Path
from typing import Annotated

import typer

from alphintra.cli import (
    backtests,
    datasets,
    deployments,
    keys,
    market,
    orders,
    portfolio,
    strategies,
    users,
)
from alphintra.cli.local import DataOption
from alphintra.cli.output import JsonOption, UrlOption, show_json
from alphintra.cli.parity import parity
from alphintra.cli.roles import ROLES
from alphintra.cli.search import montecarlo, optimize, walkforward

# No rich in the help texts: it takes half a second to import, and help should be there at once.
app = typer.Typer(
    help="Alphintra: research, backtest, paper-trade and trade live. Start with: alphintra up",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(users.app, name="user")
app.add_typer(keys.app, name="key")
app.add_typer(market.app, name="market")
app.add_typer(datasets.app, name="dataset")
app.add_typer(orders.app, name="order")
app.add_typer(portfolio.positions_app, name="positions")
app.add_typer(portfolio.portfolio_app, name="portfolio")
app.add_typer(strategies.app, name="strategy")
app.add_typer(deployments.app, name="deployment")
app.add_typer(backtests.app, name="backtests")
app.command()(parity)
app.command()(optimize)
app.command()(walkforward)
app.command()(montecarlo)


@app.command()
def up(
    data: DataOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the HTTP server.")] = 8000,
    host: Annotated[str, typer.Option(help="Address that it listens on.")] = "127.0.0.1",
    demo: Annotated[bool, typer.Option(help="Make a demo user and demo prices.")] = True,
    verbose: Annotated[bool, typer.Option(help="Print the logs here.")] = False,
) -> None:
    """Start everything on this machine.

    Database, bus, API, desk and market feed, in one process tree; Ctrl-C stops it.
    """
    from alphintra.cli.up import UpOptions, run_up
    from alphintra.platform.embedded import default_data_dir

    options = UpOptions(
        data_dir=data or default_data_dir(), host=host, port=port, demo=demo, verbose=verbose
    )
    raise typer.Exit(run_up(options))


@app.command()
def serve(
    roles: Annotated[
        list[str], typer.Argument(help=f"Which parts: {', '.join(ROLES)}.", metavar="ROLE…")
    ],
) -> None:
    """Run some parts in this process, for servers.

    What needs a database and a bus finds them by its settings.
    """
    from alphintra.cli.serve import run

    run(roles)


@app.command()
def migrate(data: DataOption = None) -> None:
    """Bring the database to this version."""
    from alphintra.cli.local import local_settings
    from alphintra.platform import migrations

    migrations.upgrade(local_settings(data).database_url.get_secret_value())
    print("The database has the tables of this version.")


@app.command()
def doctor(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Say what is wrong here, and what to do."""
    from alphintra.cli.doctor import examine, print_findings

    findings = examine(data_dir=data, url=url)
    if json:
        show_json([finding.as_json() for finding in findings])
    else:
        print_findings(findings)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


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
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", help="NAME=VALUE, in place of a default; repeat for several."),
]
CalendarOption = Annotated[
    str | None, typer.Option(help="Whose sessions the data is of, e.g. XNYS, or ALWAYS.")
]
SeedOption = Annotated[int, typer.Option(help="Of the strategy's random numbers.")]
TimeLimitOption = Annotated[
    float | None, typer.Option("--time-limit", min=0.1, help="Seconds after which it is ended.")
]


@app.command()
def backtest(
    strategy: StrategyArgument,
    data: SeriesOption,
    symbol: SymbolsOption = None,
    start: FromOption = None,
    end: ToOption = None,
    cash: CashOption = 100_000.0,
    param: ParamOption = None,
    fee: Annotated[float, typer.Option(help="Share of each fill's value, 0.001 is 0.1 %.")] = 0.0,
    maker_fee: Annotated[
        float | None, typer.Option(help="The same for resting limits; default: --fee.")
    ] = None,
    fee_per_unit: Annotated[float, typer.Option(min=0, help="Money for each unit traded.")] = 0.0,
    minimum_fee: Annotated[float, typer.Option(min=0, help="Of a fill's fee at least.")] = 0.0,
    slippage: Annotated[
        float, typer.Option(min=0, help="Basis points by which market orders fill worse.")
    ] = 0.0,
    spread: Annotated[
        float, typer.Option(min=0, help="Basis points between bid and ask; half is paid.")
    ] = 0.0,
    leverage: Annotated[float, typer.Option(min=0.01, help="Value held per equity, at most.")] = 1,
    short: Annotated[bool, typer.Option(help="Selling what is not held is allowed.")] = True,
    max_gap: Annotated[
        str | None, typer.Option(help="Refuse data with longer holes, e.g. 4d.")
    ] = None,
    calendar: CalendarOption = None,
    seed: SeedOption = 0,
    time_limit: TimeLimitOption = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with charts (.html), .pdf or .json.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Keep everything, for `report`.")] = None,
    trades: Annotated[Path | None, typer.Option(help="Write the trades as CSV.")] = None,
    json: JsonOption = False,
) -> None:
    """Run a strategy over recorded data; needs no server.

    \b
    alphintra backtest sma_cross --data BARS.parquet --fee 0.001
    alphintra backtest my.py --data BARS.parquet --param fast=10 --report run.html
    """
    from alphintra.cli.backtest import RunOptions, run_backtest

    options = RunOptions(
        strategy=strategy, data=data, symbols=symbol or (), start=start, end=end, cash=cash,
        parameters=param or (), seed=seed, time_limit_s=time_limit, fee=fee, maker_fee=maker_fee,
        fee_per_unit=fee_per_unit, minimum_fee=minimum_fee, slippage_bps=slippage,
        spread_bps=spread, leverage=leverage, short=short, max_gap=max_gap, calendar=calendar,
    )  # fmt: skip
    run_backtest(options, json=json, report=report, save=save, trades=trades)


@app.command()
def trade(
    strategy: StrategyArgument,
    symbol: Annotated[str, typer.Option(help="What to trade: AAPL, or A,B.")],
    timeframe: Annotated[str, typer.Option(help="Of the candles: 1s … 1d.")] = "1m",
    param: ParamOption = None,
    capital: Annotated[float, typer.Option(min=1, help="Money that the strategy reckons with.")] = (
        10_000.0
    ),
    fee: Annotated[
        float,
        typer.Option(min=0, help="Share of a fill's value that target weights leave room for."),
    ] = 0.0,
    warmup: Annotated[
        int, typer.Option(min=0, max=50_000, help="Closed candles that are read first, at most.")
    ] = 1_000,
    name: Annotated[
        str | None,
        typer.Option(help="Tells two sessions of one strategy apart; default: its class."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Remembers here where the warm-up began.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would order.")] = False,
    close: Annotated[bool, typer.Option("--close", help="Leave the position at the end.")] = False,
    cancel_on_stop: Annotated[
        bool, typer.Option("--cancel-on-stop", help="Cancel what is open at the end.")
    ] = False,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Run a strategy live on paper, as it was backtested.

    Ctrl-C stops it and says what is open. A restart goes on and repeats no order.

    \b
    alphintra trade sma_cross --symbol AAPL --timeframe 1m --param fast=5 --param slow=20
    """
    from alphintra.cli.trade import TradeOptions, run_trade

    options = TradeOptions(
        strategy=strategy, symbol=symbol, timeframe=timeframe, parameters=param or (),
        capital=capital, fee=fee, warmup=warmup, name=name, state=state, dry_run=dry_run,
        close=close, cancel_on_stop=cancel_on_stop,
    )  # fmt: skip
    run_trade(options, url=url, json=json)


@app.command()
def check(
    strategy: StrategyArgument,
    data: SeriesOption,
    symbol: SymbolsOption = None,
    start: FromOption = None,
    end: ToOption = None,
    cash: CashOption = 100_000.0,
    param: ParamOption = None,
    calendar: CalendarOption = None,
    seed: SeedOption = 0,
    time_limit: TimeLimitOption = None,
    json: JsonOption = False,
) -> None:
    """Find out whether a strategy peeks into the future.

    Runs it with the future cut off and with another future, and compares what it did before; then
    with less past, and says from where on that no longer matters. Ends with 1 when it peeks.
    """
    from alphintra.cli.backtest import RunOptions, run_check

    options = RunOptions(
        strategy=strategy, data=data, symbols=symbol or (), start=start, end=end, cash=cash,
        parameters=param or (), calendar=calendar, seed=seed, time_limit_s=time_limit,
    )  # fmt: skip
    raise typer.Exit(0 if run_check(options, json=json) else 1)


@app.command()
def report(
    results: Annotated[
        list[Path], typer.Argument(help="Saved results; several are compared.", metavar="RESULT…")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="What to write: .html, .pdf or .json.")
    ] = Path("report.html"),
) -> None:
    """Show backtests: a page with charts, a PDF, or JSON.

    Works on files that `alphintra backtest --save` wrote; needs no server and no network.
    """
    from alphintra.cli.report import write

    print(f"Written: {write(results, out)}")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API; needs no server."""
    from alphintra.cli.local import disconnected_services
    from alphintra.gateway import create_app

    show_json(create_app(disconnected_services()).openapi())


@app.command()
def version(json: JsonOption = False) -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    number = installed("alphintra")
    if json:
        show_json({"version": number})
    else:
        print(number)
