"""`alphintra backtests …`: runs on a server: list them, look at one, cancel one."""

from typing import Annotated, Any

import typer

from alphintra.cli.output import (
    JsonOption,
    LimitOption,
    UrlOption,
    figure,
    show_fields,
    show_json,
    show_table,
)

app = typer.Typer(help="Look at the backtests on a server.", no_args_is_help=True)

RunId = Annotated[str, typer.Argument(help="The backtest's id.")]
_FIGURES = (
    "start_date",
    "end_date",
    "initial_capital",
    "final_capital",
    "total_return",
    "total_trades",
    "win_rate",
    "sharpe_ratio",
    "max_drawdown",
)


@app.command("list")
def list_(
    status: Annotated[
        str | None, typer.Option(help="QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELED.")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="Only of this strategy.")] = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List backtests, the youngest first."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.pages(
            "/backtests",
            limit=limit,
            status=status.upper() if status else None,
            strategy=strategy,
        )
    if json:
        show_json(found)
        return
    show_table(
        ["created", "name", "strategy", "status", "done", "id"],
        (
            [run["created_at"], run["name"], run["strategy"], run["status"], _done(run), run["id"]]
            for run in found
        ),
        empty="There are no such backtests.",
    )


@app.command()
def show(run_id: RunId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Show one backtest: how far it is, then what came of it."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        run = api.get(f"/backtests/{run_id}")
    if json:
        show_json(run)
        return
    error = run["error"]
    show_fields(
        {
            "name": run["name"],
            "strategy": run["strategy"],
            "status": run["status"],
            "done": _done(run),
            "ran as": (run.get("manifest") or {}).get("form"),
            "error": f"{error['detail']} ({error['code']})" if error else None,
            **{
                name.replace("_", " "): figure(name, run[name])
                for name in _FIGURES
                if run[name] is not None
            },
        }
    )
    for warning in run["warnings"]:
        print(warning["message"])


@app.command()
def cancel(run_id: RunId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Cancel a backtest that waits or runs."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        run = api.delete(f"/backtests/{run_id}")
    if json:
        show_json(run)
    else:
        print(f"{run['name']}: {run['status']}, to be cancelled")


def _done(run: dict[str, Any]) -> str:
    text = f"{run['progress']:.0%}"
    if run["status"] == "RUNNING" and run["remaining_s"] is not None:
        text += f", {run['remaining_s']:.0f} s left"
    return text
