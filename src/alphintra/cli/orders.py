"""`alphintra order …`: place, look at, change and cancel orders."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from alphintra.cli.errors import CommandFailed
from alphintra.cli.output import (
    JsonOption,
    LimitOption,
    UrlOption,
    YesOption,
    ask,
    show_fields,
    show_json,
    show_table,
)
from alphintra.core.orders import OrderClass, OrderStatus, OrderType, Side, TimeInForce

if TYPE_CHECKING:
    from alphintra.cli.client import Api

app = typer.Typer(help="Place, change and cancel orders.", no_args_is_help=True)

#: How long a market order is waited for; it usually fills with the next quote.
SETTLE_PAUSES_S = (0.05, 0.15, 0.4, 0.9)

OrderId = Annotated[str, typer.Argument(help="The order's id.", metavar="ID")]


@app.command()
def place(
    symbol: Annotated[str, typer.Argument(help="What to trade, e.g. SPY.")],
    side: Annotated[Side, typer.Argument(case_sensitive=False, help="buy or sell")],
    quantity: Annotated[str | None, typer.Argument(help="How many; or give --notional.")] = None,
    notional: Annotated[str | None, typer.Option(help="Spend this much instead.")] = None,
    limit: Annotated[str | None, typer.Option(help="Not at a worse price than this.")] = None,
    stop: Annotated[str | None, typer.Option(help="Wait until this price is reached.")] = None,
    trail: Annotated[str | None, typer.Option(help="A stop that follows by this amount.")] = None,
    trail_percent: Annotated[
        str | None, typer.Option(help="A stop that follows by this percentage.")
    ] = None,
    tif: Annotated[
        TimeInForce | None, typer.Option(case_sensitive=False, help="How long it stays.")
    ] = None,
    expires_at: Annotated[str | None, typer.Option(help="End of a GTD order, ISO 8601.")] = None,
    take_profit: Annotated[
        str | None, typer.Option(help="When it has filled, leave with a gain at this price.")
    ] = None,
    stop_loss: Annotated[
        str | None, typer.Option(help="When it has filled, leave with a loss at this price.")
    ] = None,
    reduce_only: Annotated[bool, typer.Option(help="Only make a position smaller.")] = False,
    post_only: Annotated[bool, typer.Option(help="Refuse rather than fill at once.")] = False,
    client_order_id: Annotated[
        str | None,
        typer.Option(help="Your own id; the same id never places a second order."),
    ] = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Place an order; the prices that are given say which type it is.

    \b
    alphintra order place SPY buy 10
    alphintra order place SPY buy 10 --limit 450.10 --tif GTC
    alphintra order place SPY sell 10 --stop 440
    alphintra order place SPY buy --notional 500 --take-profit 470 --stop-loss 440
    """
    from alphintra.cli.client import Api

    body: dict[str, Any] = {
        "symbol": symbol.upper(),
        "side": side,
        "type": order_type(limit=limit, stop=stop, trail=trail or trail_percent),
        "quantity": quantity,
        "notional": notional,
        "price": limit,
        "stop_price": stop,
        "trail": trail,
        "trail_percent": trail_percent,
        "time_in_force": tif,
        "expires_at": expires_at,
        "reduce_only": reduce_only or None,
        "post_only": post_only or None,
        "client_order_id": client_order_id or new_client_order_id(),
        **exits(take_profit=take_profit, stop_loss=stop_loss),
    }
    body = {name: value for name, value in body.items() if value is not None}
    with Api(url) as api, naming(body["client_order_id"]):
        # Repeated when no answer came: the client order id makes sure that it trades once.
        order = api.post("/orders", body, repeat=True)
        if order["type"] == OrderType.MARKET:
            order = settled(api, order)
    if json:
        show_json(order)
    else:
        print(summary(order))


def settled(api: "Api", order: dict[str, Any]) -> dict[str, Any]:
    """Return an order a moment later: one that trades at once has done so by then."""
    for pause_s in SETTLE_PAUSES_S:
        if order["status"] not in {OrderStatus.PENDING, OrderStatus.ACCEPTED}:
            break
        time.sleep(pause_s)
        order = api.get(f"/orders/{order['id']}")
    return order


def new_client_order_id() -> str:
    """Return an id for an order of the command line."""
    return f"cli-{uuid4()}"


@contextmanager
def naming(client_order_id: str) -> Iterator[str]:
    """Tell the id of an order whose outcome stays unknown, so that it can be asked for again."""
    try:
        yield client_order_id
    except CommandFailed as failure:
        if failure.exit_code == 3:
            failure.advice += (
                "\nTo ask again without trading twice, repeat the command with\n"
                f"--client-order-id {client_order_id}"
            )
        raise


def order_type(*, limit: str | None, stop: str | None, trail: str | None) -> OrderType:
    """Return the order type that these prices mean.

    Raises:
        CommandFailed: a trailing stop has no other price.
    """
    if trail:
        if limit or stop:
            raise CommandFailed("a trailing stop takes neither --limit nor --stop")
        return OrderType.TRAILING_STOP
    if stop:
        return OrderType.STOP_LIMIT if limit else OrderType.STOP
    return OrderType.LIMIT if limit else OrderType.MARKET


def exits(*, take_profit: str | None, stop_loss: str | None) -> dict[str, Any]:
    """Return the fields of the orders that follow the entry: two exits, one, or none."""
    fields: dict[str, Any] = {}
    if take_profit:
        fields["take_profit"] = {"price": take_profit}
    if stop_loss:
        fields["stop_loss"] = {"stop_price": stop_loss}
    if fields:
        fields["order_class"] = OrderClass.BRACKET if len(fields) == 2 else OrderClass.OTO
    return fields


def summary(order: dict[str, Any]) -> str:
    """Say in one or two lines what an order is and how it stands."""
    prices = {
        "limit": order.get("price"),
        "stop": order.get("stop_price"),
        "trail": order.get("trail"),
        "trail %": order.get("trail_percent"),
    }
    terms = " ".join(f"{name} {price}" for name, price in prices.items() if price is not None)
    line = (
        f"{order['side']} {order['quantity']} {order['symbol']} {order['type']}"
        f"{' ' + terms if terms else ''} {order['time_in_force']}: {order['status']}"
    )
    if order.get("average_fill_price") is not None:
        line += f", filled {order['filled_quantity']} at {order['average_fill_price']}"
    if order.get("reject_reason"):
        line += f" ({order['reject_reason']})"
    return f"{line}\n  id {order['id']}"


@app.command("list")
def list_(
    status: Annotated[
        str | None, typer.Option(help="open, closed, or a status such as FILLED.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol.")] = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List orders, the youngest first."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.pages(
            "/orders",
            limit=limit,
            status=status if status in {None, "open", "closed"} else status.upper(),
            symbol=symbol.upper() if symbol else None,
        )
    if json:
        show_json(found)
        return
    show_table(
        ["created", "symbol", "side", "type", "quantity", "filled", "price", "status", "id"],
        (
            (
                order["created_at"],
                order["symbol"],
                order["side"],
                order["type"],
                order["quantity"],
                order["filled_quantity"],
                order["average_fill_price"] or order["price"] or order["stop_price"],
                order["status"],
                order["id"],
            )
            for order in found
        ),
        empty="There are no such orders.",
    )


@app.command()
def show(order_id: OrderId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Show one order and what has happened to it."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        order = api.get(f"/orders/{order_id}")
    if json:
        show_json(order)
        return
    print(summary(order))
    for leg in order["legs"]:
        print(f"exit: {summary(leg)}")
    if check := order["check"]:
        print(check["detail"])
    shown_elsewhere = {"id", "history", "legs", "check", "side", "symbol", "type", "status"}
    show_fields({name: value for name, value in order.items() if name not in shown_elsewhere})
    print()
    columns = ["at", "event_type", "actor", "reason"]
    show_table(
        columns,
        ([step[column] for column in columns] for step in order["history"]),
        empty="Nothing has happened to it yet.",
    )


@app.command()
def modify(
    order_id: OrderId,
    quantity: Annotated[str | None, typer.Option(help="The whole quantity from now on.")] = None,
    limit: Annotated[str | None, typer.Option(help="The limit price from now on.")] = None,
    stop: Annotated[str | None, typer.Option(help="The stop price from now on.")] = None,
    trail: Annotated[str | None, typer.Option(help="The trailing distance from now on.")] = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Change quantity or prices of an open order."""
    from alphintra.cli.client import Api

    changes = {"quantity": quantity, "price": limit, "stop_price": stop, "trail": trail}
    changes = {name: value for name, value in changes.items() if value is not None}
    if not changes:
        raise CommandFailed(
            "nothing to change", advice="Give --quantity, --limit, --stop or --trail."
        )
    with Api(url) as api:
        order = api.put(f"/orders/{order_id}", changes)
    if json:
        show_json(order)
    else:
        print(summary(order))


@app.command()
def cancel(order_id: OrderId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Cancel an open order."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        order = api.delete(f"/orders/{order_id}")
    if json:
        show_json(order)
    else:
        print(summary(order))


@app.command("cancel-all")
def cancel_all(
    symbol: Annotated[str | None, typer.Option(help="Only orders in this symbol.")] = None,
    yes: YesOption = False,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Cancel all open orders."""
    from alphintra.cli.client import Api

    ask(f"Cancel all open orders{f' in {symbol.upper()}' if symbol else ''}?", yes=yes)
    with Api(url) as api:
        answer = api.delete("/orders", symbol=symbol.upper() if symbol else None)
    if json:
        show_json(answer)
    else:
        print(f"{len(answer['canceled'])} cancelled")
