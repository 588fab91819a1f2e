"""`alphintra deployment …`: strategies at work on a server, watched and told from here."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

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

app = typer.Typer(help="Put strategies to work, watch them, stop them.", no_args_is_help=True)

#: What a certificate says, in words.
_VERDICTS = {
    "PASSED": "replayed, it decided the same and was filled alike",
    "FAILED": "replayed, it came out otherwise; --json has the differences and their causes",
    "EMPTY": "nothing was decided, so there is nothing to compare",
    "UNKNOWN": "whether it came out the same could not be said; --json has why",
    "PENDING": "a worker replays it; ask again in a moment",
}

DeploymentId = Annotated[str, typer.Argument(help="The deployment's id.", metavar="ID")]
SignalId = Annotated[str, typer.Argument(help="The signal's id.", metavar="SIGNAL")]
ParamOption = Annotated[list[str] | None, typer.Option(help="NAME=VALUE; may be given again.")]


@app.command()
def start(
    strategy_id: Annotated[str, typer.Argument(help="The strategy's id.", metavar="STRATEGY")],
    symbol: Annotated[list[str], typer.Option(help="What it trades; may be given again.")],
    timeframe: Annotated[str, typer.Option("--timeframe", "-t", help="1m, 5m, 1h …")] = "1m",
    capital: Annotated[str, typer.Option(help="The money it works with.")] = "10000",
    param: ParamOption = None,
    version: Annotated[int | None, typer.Option(min=1, help="In place of the draft.")] = None,
    warmup: Annotated[int, typer.Option(min=0, help="Candles that it lives through first.")] = 500,
    daily_loss: Annotated[str | None, typer.Option(help="Ends it: a loss in a day.")] = None,
    drawdown: Annotated[str | None, typer.Option(help="Ends it: 0.1 is 10 %.")] = None,
    orders_per_minute: Annotated[int, typer.Option(min=1, help="More than this end it.")] = 60,
    approval: Annotated[
        str, typer.Option(help="Which orders wait for your yes: none, entries, all.")
    ] = "none",
    feed: Annotated[str | None, typer.Option(help="Follow this source only, e.g. replay.")] = None,
    name: Annotated[str, typer.Option(help="Otherwise the strategy's.")] = "",
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Put a strategy to work on paper."""
    from alphintra.cli.client import Api

    body: dict[str, object] = {
        "symbols": symbol,
        "timeframe": timeframe,
        "capital": capital,
        "parameters": _values(param),
        "version": version,
        "warmup": warmup,
        "limits": {
            "daily_loss": daily_loss,
            "drawdown": drawdown,
            "orders_per_minute": orders_per_minute,
        },
        "approval": {"mode": approval.upper()},
        "feed": feed,
        "name": name,
    }
    with Api(url, timeout_s=60.0) as api:
        made = api.post(f"/strategies/{strategy_id}/deploy", body)
    if json:
        show_json(made)
    else:
        print(f"{made['name']}, version {made['version']}, is {made['status']}")
        for warning in made["warnings"]:
            print(f"warning: {warning['message']} ({warning['code']})")
        print(f"alphintra deployment show {made['id']}")


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="RUNNING, PAUSED, STOPPED …")] = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List your deployments, the youngest first."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.pages("/deployments", limit=limit, status=status.upper() if status else None)
    if json:
        show_json(found)
        return
    columns = ["name", "status", "symbols", "timeframe", "equity", "fills", "id"]
    show_table(
        columns,
        ([one[column] for column in columns] for one in found),
        empty="There are none. Start one with: alphintra deployment start STRATEGY --symbol AAPL",
    )


@app.command()
def show(deployment_id: DeploymentId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Show how a deployment stands: status, money, positions, signals."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        one = api.get(f"/deployments/{deployment_id}")
        metrics = api.get(f"/deployments/{deployment_id}/metrics")
    if json:
        show_json({**one, "metrics": metrics})
        return
    signals = ", ".join(f"{count} {status}" for status, count in metrics["signals"].items())
    show_fields(
        {
            "name": one["name"],
            "status": one["status"],
            "reason": one["reason"],
            "version": one["version"],
            "symbols": one["symbols"],
            "timeframe": one["timeframe"],
            "parameters": _pairs(one["parameters"]),
            "limits": _pairs(one["limits"]),
            "schedule": one["schedule"] and _pairs(one["schedule"]),
            "approval": _pairs(one["approval"]),
            "last candle": one["last_candle_at"],
            "capital": f"{float(one['capital']):,.2f}",
            "equity": f"{float(one['equity']):,.2f} ({metrics['total_return']:+.2%})",
            "cash": f"{float(one['cash']):,.2f}",
            "fees": f"{float(one['fees']):,.2f}",
            "max drawdown": f"{metrics['max_drawdown']:.2%}",
            "fills": one["fills"],
            "signals": signals or None,
        }
    )
    for held in one["positions"]:
        if held["quantity"] != "0":
            print(
                f"holds {held['quantity']} {held['symbol']}, entered at"
                f" {held['average_price']} on average"
            )


@app.command()
def signals(
    deployment_id: DeploymentId,
    status: Annotated[str | None, typer.Option(help="WAITING, ORDERED, REFUSED …")] = None,
    limit: LimitOption = 20,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List what it decided, why, and what became of it, the youngest first."""
    found = _pages(deployment_id, "signals", limit, url, status=status.upper() if status else None)
    if json:
        show_json(found)
        return
    show_table(
        ["candle", "action", "symbol", "quantity", "reason", "because", "status", "detail", "id"],
        (
            [
                one["candle_at"], one["action"], one["symbol"], one["order"].get("quantity"),
                one["reason"] or None, _because(one["because"]), one["status"], one["detail"],
                one["id"],
            ]
            for one in found
        ),
        empty="It has decided nothing yet.",
    )  # fmt: skip


@app.command()
def orders(
    deployment_id: DeploymentId,
    limit: LimitOption = 20,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List the orders that came of its signals, the youngest first."""
    found = _pages(deployment_id, "orders", limit, url)
    if json:
        show_json(found)
        return
    columns = ["symbol", "side", "type", "quantity", "status", "average_fill_price", "id"]
    show_table(columns, ([one[name] for name in columns] for one in found), empty="There are none.")


@app.command()
def logs(
    deployment_id: DeploymentId,
    limit: LimitOption = 50,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Print its log, the latest line last."""
    found = _pages(deployment_id, "logs", limit, url)
    if json:
        show_json(found)
        return
    for line in reversed(found):
        print(f"{line['at']} {line['kind']:<7} {line['message']}")


@app.command()
def pause(deployment_id: DeploymentId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Let it enter nothing new; exits go through."""
    _tell(deployment_id, "pause", url, json=json)


@app.command()
def resume(deployment_id: DeploymentId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Let it enter again."""
    _tell(deployment_id, "resume", url, json=json)


@app.command()
def stop(deployment_id: DeploymentId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Stop it and take its open orders back; what it holds stays in your account."""
    _tell(deployment_id, "stop", url, json=json)


@app.command()
def liquidate(
    deployment_id: DeploymentId,
    yes: YesOption = False,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Stop it and close what it holds, at the market."""
    ask(f"Close everything that {deployment_id} holds?", yes=yes)
    _tell(deployment_id, "liquidate", url, json=json)


@app.command("set")
def set_(
    deployment_id: DeploymentId,
    values: Annotated[list[str], typer.Argument(help="NAME=VALUE …", metavar="NAME=VALUE")],
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Give a running strategy other parameters, from the next candle on."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        body = {"parameters": _values(values)}
        told = api.put(f"/deployments/{deployment_id}/parameters", body)
    if json:
        show_json(told)
    else:
        print(", ".join(f"{name}={value}" for name, value in told["parameters"].items()))


@app.command()
def approve(signal_id: SignalId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Say yes to a signal that waits for it."""
    _answer(signal_id, "approve", url, json=json)


@app.command()
def reject(signal_id: SignalId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Say no to a signal that waits for a yes."""
    _answer(signal_id, "reject", url, json=json)


@app.command()
def trace(signal_id: SignalId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Print the way of a decision: candle, signal, orders, fills, ledger lines."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        told = api.get(f"/signals/{signal_id}/trace")
    if json:
        show_json(told)
        return
    for line in trace_lines(told):
        print(line)


def trace_lines(told: dict[str, Any]) -> list[str]:
    """Return a trace as lines that people read, one for each step, with its time."""
    signal, candle = told["signal"], told["candle"]
    lines = []
    if candle is not None:
        prices = " ".join(
            f"{name} {candle[name]:.12g}" for name in ("open", "high", "low", "close")
        )
        lines.append(f"{candle['closed_at']}  candle  {candle['symbol']} {prices}")
    why = [signal["reason"], _because(signal["because"]), signal["detail"]]
    order = signal["order"]
    lines.append(
        f"{signal['created_at']}  signal  {signal['action']} {order.get('quantity', '')}"
        f" {signal['symbol']} {order.get('type', '')}: {signal['status']}"
        + "".join(f"; {one}" for one in why if one)
    )
    for one in told["orders"]:
        reason = f" ({one['reject_reason']})" if one["reject_reason"] else ""
        lines.append(
            f"{one['created_at']}  order   {one['side']} {one['quantity']} {one['symbol']}"
            f" {one['type']}: {one['status']}{reason}"
        )
    lines += [
        f"{one['executed_at']}  fill    {one['side']} {one['quantity']} {one['symbol']} at"
        f" {one['price']}, fee {one['fee']}"
        for one in told["fills"]
    ]
    lines += [
        f"{one['created_at']}  ledger  {one['kind']} {one['amount']} {one['asset']} {one['bucket']}"
        for one in told["ledger"]
    ]
    return [*lines, f"trace id {told['trace_id']}"]


@app.command()
def certify(
    deployment_id: DeploymentId,
    day: Annotated[str, typer.Argument(help="YYYY-MM-DD, in UTC.")],
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Have a day replayed; `alphintra deployment certificates` tells the verdict."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        made = api.post(f"/deployments/{deployment_id}/certificates", {"day": day}, repeat=True)
    if json:
        show_json(made)
    else:
        print(f"{made['day']}: {made['verdict']}")


@app.command()
def certificates(
    deployment_id: DeploymentId,
    limit: LimitOption = 20,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List the days that were replayed, and whether they came out the same."""
    found = _pages(deployment_id, "certificates", limit, url)
    if json:
        show_json(found)
        return
    columns = ["day", "verdict", "signals", "orders", "fills"]
    rows = (
        [
            *(one[name] for name in columns),
            len(one["differences"]),
            "yes" if one["is_whole_day"] else "not yet over",
            one["created_at"],
        ]
        for one in found
    )
    show_table(
        [*columns, "differences", "whole day", "made at"], rows, empty="No day was replayed yet."
    )
    for verdict in dict.fromkeys(one["verdict"] for one in found):
        if (meaning := _VERDICTS.get(verdict)) is not None:
            print(f"{verdict}: {meaning}")


def _pages(
    deployment_id: str, what: str, limit: int, url: str | None, **filters: str | None
) -> list[Any]:
    from alphintra.cli.client import Api

    with Api(url) as api:
        return api.pages(f"/deployments/{deployment_id}/{what}", limit=limit, **filters)


def _tell(deployment_id: str, what: str, url: str | None, *, json: bool) -> None:
    from alphintra.cli.client import Api

    with Api(url) as api:
        told = api.post(f"/deployments/{deployment_id}/{what}", {}, repeat=True)
    if json:
        show_json(told)
    else:
        print(f"{told['name']}, {told['status']}, was told to {what}")


def _answer(signal_id: str, answer: str, url: str | None, *, json: bool) -> None:
    from alphintra.cli.client import Api

    with Api(url) as api:
        told = api.post(f"/signals/{signal_id}/{answer}", {}, repeat=True)
    if json:
        show_json(told)
    else:
        print(f"{told['action']} {told['symbol']}: {told['status']}")


def _values(given: Sequence[str] | None) -> dict[str, str]:
    """Return parameters as they were typed; the server reads each as what it was declared."""
    from alphintra.cli.errors import CommandFailed

    values = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CommandFailed(f"{text!r} is not NAME=VALUE", code="parameter_refused")
        values[name.strip()] = value.strip()
    return values


def _pairs(values: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{k}={v}" for k, v in values.items() if v is not None) or None


def _because(lines: dict[str, float | None]) -> str | None:
    return ", ".join(f"{name} {value:g}" for name, value in lines.items() if value is not None)
