"""`alphintra positions …` and `alphintra portfolio …`: what is held and what it is worth."""

from typing import Annotated

import typer

from alphintra.cli.orders import naming, new_client_order_id, summary
from alphintra.cli.output import (
    JsonOption,
    UrlOption,
    YesOption,
    ask,
    show_fields,
    show_json,
    show_table,
)

positions_app = typer.Typer(help="Show and close positions.", invoke_without_command=True)
portfolio_app = typer.Typer(help="Show what the account is worth.", invoke_without_command=True)


@positions_app.callback()
def positions(context: typer.Context, url: UrlOption = None, json: JsonOption = False) -> None:
    """Show and close positions."""
    if context.invoked_subcommand is not None:
        return
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.get("/positions")["items"]
    if json:
        show_json(found)
        return
    names = {
        "symbol": "symbol",
        "quantity": "quantity",
        "average price": "average_price",
        "unrealised P&L": "unrealized_pnl",
        "realised P&L": "realized_pnl",
    }
    show_table(
        list(names),
        ([position.get(name) for name in names.values()] for position in found),
        empty="There are no positions.",
    )


@positions_app.command()
def close(
    symbol: Annotated[str, typer.Argument(help="The position to close.")],
    client_order_id: Annotated[
        str | None,
        typer.Option(help="Your own id; the same id never places a second order."),
    ] = None,
    yes: YesOption = False,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Close a position at the market price."""
    from alphintra.cli.client import Api

    symbol = symbol.upper()
    ask(f"Close the position in {symbol} at the market price?", yes=yes)
    with Api(url) as api, naming(client_order_id or new_client_order_id()) as key:
        order = api.delete(f"/positions/{symbol}", key=key)
    if json:
        show_json(order)
    else:
        print(summary(order))


@portfolio_app.callback()
def portfolio(context: typer.Context, url: UrlOption = None, json: JsonOption = False) -> None:
    """Show what the account is worth."""
    if context.invoked_subcommand is not None:
        return
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.get("/portfolio")
    if json:
        show_json(found)
        return
    balances = found.pop("balances")
    show_fields({name.replace("_", " "): value for name, value in found.items() if value != []})
    show_table(
        ["asset", "available", "held"],
        (balance.values() for balance in balances),
        empty="There are no balances yet.",
    )


@portfolio_app.command()
def history(
    start: Annotated[str | None, typer.Option(help="From this time on, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="Up to this time, ISO 8601.")] = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Show how the worth of the account developed."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        points = api.get("/portfolio/history", start=start, end=end)["items"]
    if json:
        show_json(points)
        return
    show_table(
        list(points[0]) if points else [],
        (point.values() for point in points),
        empty="The curve has no points yet.",
    )
