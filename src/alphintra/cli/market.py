"""`alphintra market …`: instruments, candles and quotes; import and replay of files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from alphintra.cli.errors import CommandFailed
from alphintra.cli.local import DataOption, run_local, stop_on_signals
from alphintra.cli.output import (
    JsonOption,
    LimitOption,
    UrlOption,
    show_fields,
    show_json,
    show_table,
)

if TYPE_CHECKING:
    from alphintra.platform.services import Services

app = typer.Typer(help="Look at market data; import and replay files.", no_args_is_help=True)

Symbol = Annotated[str, typer.Argument(help="Which instrument, e.g. SPY.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Parquet or CSV.")]
TimeframeOption = Annotated[
    str | None, typer.Option("--timeframe", "-t", help="Of candles: 1m, 1d, …")
]
TimezoneOption = Annotated[str, typer.Option(help="Zone of times that have none.")]
ColumnsOption = Annotated[
    str, typer.Option(help="Names of the columns in order, comma separated, without a header.")
]
DateFormatOption = Annotated[str, typer.Option(help="Form of the times, as in strptime.")]


@app.command()
def instruments(limit: LimitOption = 200, url: UrlOption = None, json: JsonOption = False) -> None:
    """List what can be traded."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.pages("/market-data/instruments", limit=limit)
    if json:
        show_json(found)
        return
    columns = ["symbol", "name", "asset_class", "quote", "tick_size", "lot_size", "calendar"]
    show_table(
        columns,
        ([instrument.get(column) for column in columns] for instrument in found),
        empty="There are no instruments yet. Make some with: alphintra market import",
    )


@app.command()
def candles(
    symbol: Symbol,
    timeframe: Annotated[str, typer.Option("--timeframe", "-t", help="1s … 1mo.")] = "1m",
    start: Annotated[str | None, typer.Option(help="From this time on, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="Up to this time, ISO 8601.")] = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Show candles."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.pages(
            "/market-data/candles",
            limit=limit,
            symbol=symbol.upper(),
            timeframe=timeframe,
            start=start,
            end=end,
            # Without a beginning the latest are meant; shown with the latest at the end.
            order="asc" if start else "desc",
        )
    if not start:
        found.reverse()
    if json:
        show_json(found)
        return
    columns = list(found[0]) if found else []
    show_table(
        columns, (candle.values() for candle in found), empty="There are no candles in this range."
    )


@app.command()
def quote(symbol: Symbol, url: UrlOption = None, json: JsonOption = False) -> None:
    """Show the latest quote."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.get(f"/market-data/quotes/{symbol.upper()}")
    if json:
        show_json(found)
    else:
        show_fields(found)


@app.command()
def sources(url: UrlOption = None, json: JsonOption = False) -> None:
    """Show the state of each market feed."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.get("/market-data/sources")["items"]
    if json:
        show_json(found)
        return
    show_table(
        list(found[0]) if found else [],
        (source.values() for source in found),
        empty="There are no feeds.",
    )


@app.command()
def add(
    symbol: Symbol,
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    asset_class: Annotated[
        str, typer.Option("--class", help="EQUITY, CRYPTO, FX or INDEX.")
    ] = "EQUITY",
    base: Annotated[str, typer.Option(help="What a buyer receives; default: the symbol.")] = "",
    quote_asset: Annotated[str, typer.Option("--quote", help="What its price is in.")] = "USD",
    tick: Annotated[str, typer.Option(help="The grid of its prices.")] = "0.01",
    lot: Annotated[str, typer.Option(help="The grid of its quantities.")] = "1",
    calendar: Annotated[str, typer.Option(help="ALWAYS, or an exchange: XNYS.")] = "ALWAYS",
    shortable: Annotated[bool, typer.Option(help="Whether it may be sold short.")] = True,
    data: DataOption = None,
) -> None:
    """Add an instrument, or change one that is there."""
    from alphintra.core.instruments import Asset, AssetClass, Instrument
    from alphintra.core.instruments import Symbol as SymbolName
    from alphintra.core.money import parse_amount

    symbol = symbol.upper()
    try:
        instrument = Instrument(
            symbol=SymbolName(symbol),
            name=name or symbol,
            asset_class=AssetClass(asset_class.upper()),
            base=Asset(base.upper() or symbol),
            quote=Asset(quote_asset.upper()),
            tick_size=parse_amount(tick),
            lot_size=parse_amount(lot),
            calendar=calendar.upper(),
            shortable=shortable,
        )
    except ValueError as error:
        raise CommandFailed(str(error), code="invalid_instrument") from error

    async def save(services: "Services") -> None:
        from alphintra import market

        async with services.database.transaction() as session:
            await market.save_instrument(session, instrument)

    run_local(data, save, name="market add")
    print(f"{symbol} is there. The desk takes notice within half a minute.")


@app.command("import")
def import_(
    file: File,
    symbol: Annotated[str, typer.Option(help="Which instrument the file is of.")],
    timeframe: TimeframeOption = None,
    timezone: TimezoneOption = "",
    source: Annotated[str, typer.Option(help="What to call the data's origin.")] = "import",
    columns: ColumnsOption = "",
    date_format: DateFormatOption = "",
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Store candles, quotes or trades from a Parquet or CSV file.

    Rows that cannot be true are kept apart with their reason. The same file again changes nothing.
    """

    async def store(services: "Services") -> dict[str, Any]:
        import msgspec

        from alphintra import market

        result = await market.import_file(
            services,
            file,
            symbol=symbol.upper(),
            timeframe=timeframe,
            timezone=timezone,
            source=source,
            columns=columns.split(",") if columns else (),
            date_format=date_format,
        )
        return cast(dict[str, Any], msgspec.to_builtins(result))

    result = run_local(data, store, name="market import")
    if json:
        show_json(result)
        return
    print(f"{result['accepted']} of {result['rows']} rows taken, {result['stored']} of them new.")
    for reason, count in result["quarantined"].items():
        print(f"  {count} in quarantine: {reason}")
    for flag, count in result["flags"].items():
        print(f"  {count} to look at: {flag}")


@app.command()
def replay(
    file: File,
    symbol: Annotated[
        str | None, typer.Option(help="Which instrument; default: SPY of SPY_1m.parquet.")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="Times faster than it happened; 0: as fast as it goes.")
    ] = 1.0,
    timeframe: TimeframeOption = None,
    timezone: TimezoneOption = "",
    columns: ColumnsOption = "",
    date_format: DateFormatOption = "",
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a recorded file as if it happened now; Ctrl-C stops it.

    The simulator gives way on this symbol meanwhile.
    """

    async def publish(services: "Services") -> dict[str, Any]:
        import msgspec

        from alphintra import market

        result = await market.replay(
            services,
            file,
            symbol=symbol.upper() if symbol else None,
            speed=speed,
            timeframe=timeframe,
            timezone=timezone,
            columns=columns.split(",") if columns else (),
            date_format=date_format,
            stop=stop_on_signals(),
            progress=None if json else show_progress,
        )
        return cast(dict[str, Any], msgspec.to_builtins(result))

    result = run_local(data, publish, name="market replay")
    if json:
        show_json(result)
        return
    print(f"{result['symbol']}: {result['published']} events published.")
    for reason, count in result["quarantined"].items():
        print(f"  {count} not believed: {reason}")


def show_progress(done: int, total: int) -> None:
    """Draw how far a replay is, on a terminal only."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done:,} of {total:,} events", end=end, file=sys.stderr, flush=True)
