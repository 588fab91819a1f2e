"""`alphintra parity`: a day replayed through the simulator, beside what was booked."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from alphintra.cli.output import JsonOption, UrlOption, show_fields, show_json, show_table

#: A day with millions of market events takes minutes.
TIMEOUT_S = 600.0


def parity(
    day: Annotated[
        str | None, typer.Option(help="The day in UTC, as 2026-03-31; default: today.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="The account's id; default: your own.")
    ] = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Replay a day of paper trading and compare it with what was booked.

    Ends with 1 when something differs; each difference has its cause.
    """
    from alphintra.cli.client import Api

    with Api(url, timeout_s=TIMEOUT_S) as api:
        report = api.get(
            "/portfolio/parity",
            day=day or datetime.now(UTC).date().isoformat(),
            account_id=account,
        )
    if json:
        show_json(report)
    else:
        _show(report)
    raise typer.Exit(0 if report["is_identical"] else 1)


def _show(report: dict[str, Any]) -> None:
    latency = report["latency"]
    show_fields(
        {
            "account": report["account_id"],
            "day": report["day"],
            "result": "identical" if report["is_identical"] else "DIFFERENT",
            "orders": report["orders"],
            "fills": report["fills"],
            "void fills": report["void"],
            "latency": f"{latency['median_ms']} ms (median), {latency['max_ms']} ms (most);"
            f" it changed {latency['fills_changed']} fills",
        }
    )
    print()
    show_table(
        ["at", "symbol", "booked", "replayed", "fees", "cause", "detail"],
        (_row(pair) for pair in report["pairs"]),
        empty="There were no fills.",
    )
    if report["order_differences"]:
        show_table(
            ["order", "symbol", "what", "booked", "replayed", "cause", "detail"],
            (
                [one[name] for name in ("order_id", "symbol", "what", "booked", "replayed")]
                + [one["cause"], one["detail"]]
                for one in report["order_differences"]
            ),
            empty="",
        )
    for note in report["notes"]:
        print(note)


def _row(pair: dict[str, Any]) -> list[object]:
    booked, replayed = pair["booked"], pair["replayed"]
    return [
        pair["at"],
        pair["symbol"],
        _fill(booked),
        _fill(replayed),
        " / ".join("–" if one is None else one["fee"] for one in (booked, replayed)),
        pair["cause"] or "identical",
        pair["detail"] or pair["event"],
    ]


def _fill(amounts: dict[str, Any] | None) -> str:
    return "–" if amounts is None else f"{amounts['quantity']} at {amounts['price']}"
