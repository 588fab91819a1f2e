"""`alphintra market …`: instruments, candles and quotes; import and replay of files."""

from typing import Annotated

import typer

from alphintra.cli.output import (
    JsonOption,
    LimitOption,
    UrlOption,
    show_fields,
    show_json,
    show_table,
)

app = typer.Typer(help="Look at market data; import and replay files.", no_args_is_help=True)

Symbol = Annotated[str, typer.Argument(help="Which instrument, e.g. SPY.")]


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
        )
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
