"""`alphintra strategy …`: strategies on a server, with their files here.

`pull` writes a strategy to a file, `edit` sends the file back. Code is Python; what is made of
blocks is the JSON of its graph, or Python that blocks can say.
"""

import json as json_module
from pathlib import Path
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

app = typer.Typer(help="Strategies that you have made on a server.", no_args_is_help=True)

StrategyId = Annotated[str, typer.Argument(help="The strategy's id.", metavar="ID")]
FileArgument = Annotated[
    Path, typer.Argument(help="Python, or a graph as .json.", exists=True, dir_okay=False)
]
_FIGURES = ("total_return", "sharpe_ratio", "max_drawdown", "total_trades")


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="DRAFT, PUBLISHED or ARCHIVED.")] = None,
    shared: Annotated[bool, typer.Option(help="Those that others share with you.")] = False,
    limit: LimitOption = 50,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List your strategies, the youngest first."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.pages(
            "/strategies", limit=limit, status=status.upper() if status else None, shared=shared
        )
    if json:
        show_json(found)
        return
    show_table(
        ["name", "type", "status", "version", "changed", "right", "id"],
        (
            [
                one["name"], one["type"], one["status"], one["version"] or None, one["changed"],
                one["right"], one["id"],
            ]
            for one in found
        ),
        empty="There are none. Make one with: alphintra strategy new --template trend_following",
    )  # fmt: skip


@app.command()
def new(
    file: Annotated[
        Path | None, typer.Argument(help="Python, or a graph as .json.", exists=True)
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="In place of a file; `strategy templates` lists them.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Otherwise that of file or template.")] = None,
    description: Annotated[str, typer.Option(help="What it does; otherwise the template's.")] = "",
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Make a strategy of a file or of a template."""
    from alphintra.cli.client import Api

    body: dict[str, object] = {"description": description}
    if template is not None:
        body["template"] = template
    if file is not None:
        body |= _content(file)
    if name is not None:
        body["name"] = name
    elif file is not None:
        body["name"] = file.stem
    with Api(url) as api:
        made = api.post("/strategies", body)
    if json:
        show_json(made)
    else:
        print(f"{made['name']}: {made['id']}")


@app.command()
def show(strategy_id: StrategyId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Show a strategy, its parameters and its Python."""
    from alphintra.cli.client import Api
    from alphintra.cli.errors import Refused

    with Api(url) as api:
        strategy = api.get(f"/strategies/{strategy_id}")
        if json:
            show_json(strategy)
            return
        try:
            source = api.get(f"/strategies/{strategy_id}/python")["source"]
        except Refused as refusal:  # blocks that do not fit together yet
            source = f"# {refusal.detail}\n"
    show_fields(
        {
            "name": strategy["name"],
            "description": strategy["description"] or None,
            "type": strategy["type"],
            "status": strategy["status"],
            "version": strategy["version"] or "none yet",
            "published": strategy["published_version"],
            "changed since": strategy["changed"],
            "revision": strategy["revision"],
        }
    )
    chosen = strategy["parameters"]
    for name, one in strategy["declared"].items():
        print(f"  {name} = {chosen.get(name, one['default'])}  {_range(one)}  {one['help']}")
    print(f"\n{source}", end="")


@app.command()
def edit(
    strategy_id: StrategyId,
    file: FileArgument,
    name: Annotated[str | None, typer.Option(help="Also give it this name.")] = None,
    revision: Annotated[
        int | None, typer.Option(help="The one that you have seen; else the newest.")
    ] = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Send a file as the draft of a strategy."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        seen = revision or api.get(f"/strategies/{strategy_id}")["revision"]
        body: dict[str, object] = {"revision": seen, **_content(file)}
        if name is not None:
            body["name"] = name
        changed = api.put(f"/strategies/{strategy_id}", body)
    if json:
        show_json(changed)
    else:
        print(f"{changed['name']}: revision {changed['revision']}")


@app.command()
def pull(
    strategy_id: StrategyId,
    file: Annotated[
        Path | None, typer.Argument(help="Where to; .json for the graph of blocks.")
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="In place of the draft.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    url: UrlOption = None,
) -> None:
    """Write a strategy to a file, or print it."""
    from alphintra.cli.client import Api
    from alphintra.cli.errors import CommandFailed

    path = f"/strategies/{strategy_id}"
    with Api(url) as api:
        if version is not None:
            held = api.get(f"{path}/versions/{version}")
            source, blocks = held["code"], held["blocks"]
        elif file is not None and file.suffix == ".json":
            source, blocks = "", api.get(path)["blocks"]
        else:
            source, blocks = api.get(f"{path}/python")["source"], None
    if file is None:
        print(source, end="")
        return
    if file.suffix == ".json":
        if blocks is None:
            raise CommandFailed("it is not made of blocks", advice="Pull it into a .py file.")
        source = json_module.dumps(blocks, indent=2, ensure_ascii=False) + "\n"
    if file.exists() and not force:
        raise CommandFailed(f"{file} is there already", advice="Write over it with --force.")
    file.write_text(source, encoding="utf-8")
    print(f"written to {file}")


@app.command()
def check(
    file: FileArgument,
    run: Annotated[bool, typer.Option("--run", help="Also run it over a few bars.")] = False,
    data: Annotated[list[str] | None, typer.Option(help="For --run: demo:AAPL, demo:IBM …")] = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Say what is wrong with a file of Python, by line and column."""
    from alphintra.cli.client import Api

    body: dict[str, object] = {"source": file.read_text(encoding="utf-8")}
    if run and data:
        body["datasets"] = data
    with Api(url, timeout_s=60.0) as api:
        told = api.post("/code/run" if run else "/code/check", body, repeat=True)
    if json:
        show_json(told)
    else:
        _print_judgement(file, told, run=run)
    if not told["ok"]:
        raise typer.Exit(1)


def _print_judgement(file: Path, told: dict[str, Any], *, run: bool) -> None:
    for one in told["findings"]:
        place = f"{file}:{one['line']}:{one['column']}"
        print(f"{place}: {one['severity']}: {one['message']} ({one['code']})")
    if not run:
        if told["ok"]:
            count = len(told["findings"])
            how = f"has no errors, but see the {count} above" if count else "is fine"
            print(f"{told['name']} {how} ({told['duration_ms']:.0f} ms)")
            for name, one in told["declared"].items():
                print(f"  {name} = {one['default']}  {_range(one)}  {one['help']}")
        return
    if told["error"]:
        # The server knows a text, and calls it by a name of its own.
        detail = told["error"]["detail"].replace("strategy.py", str(file))
        print(f"{detail} ({told['error']['code']})")
    if told["ok"]:
        sample = told["samples"][0]
        print(
            f"{told['total_trades']} trades over {sample['bars']} bars of {sample['dataset']}: "
            f"{told['final_capital']:,.2f} in the end"
        )
    for line in [*told["logs"], *told["warnings"]]:
        print(f"  {line}")
    if told["output"]:
        print(told["output"], end="" if told["output"].endswith("\n") else "\n")


@app.command()
def versions(
    strategy_id: StrategyId,
    make: Annotated[bool, typer.Option("--make", help="Make one of the draft first.")] = False,
    note: Annotated[str, typer.Option(help="For --make: what is new in it.")] = "",
    diff: Annotated[
        int | None, typer.Option(min=1, help="Show what the draft changes about this one.")
    ] = None,
    limit: LimitOption = 20,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List the versions of a strategy, the newest first; make one; compare one."""
    from alphintra.cli.client import Api

    path = f"/strategies/{strategy_id}/versions"
    with Api(url, timeout_s=60.0) as api:
        if diff is not None:
            _print_difference(api.get(f"{path}/{diff}/diff"), as_json=json)
            return
        if make:
            made = api.post(path, {"note": note}, repeat=True)
            if made["note"] != note and not json:
                print(f"The draft is version {made['number']}: no new one, and its note stays.")
        found = api.pages(path, limit=limit)
    if json:
        show_json(found)
        return
    show_table(
        ["number", "made", "note", "kept", "sha256"],
        (
            [
                one["number"], one["created_at"], one["note"], one["frozen_at"] is not None,
                one["sha256"][:16],
            ]
            for one in found
        ),
        empty="There are none yet. Make one with --make.",
    )  # fmt: skip


def _print_difference(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(told)
        return
    print(told["source"], end="")
    for name, (before, after) in told["parameters"].items():
        print(f"{name}: {before} → {after}")
    if not told["source"] and not told["parameters"]:
        print("nothing differs")


@app.command()
def status(
    strategy_id: StrategyId,
    to: Annotated[str, typer.Argument(help="DRAFT, PUBLISHED or ARCHIVED.", metavar="STATUS")],
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a strategy, archive it, or make it a draft again."""
    from alphintra.cli.client import Api

    path = f"/strategies/{strategy_id}"
    with Api(url, timeout_s=60.0) as api:
        revision = api.get(path)["revision"]
        changed = api.put(f"{path}/status", {"status": to.upper(), "revision": revision})
    if json:
        show_json(changed)
    else:
        number = changed["published_version"]
        print(f"{changed['name']}: {changed['status']}" + (f", version {number}" if number else ""))


@app.command()
def backtest(
    strategy_id: StrategyId,
    dataset: Annotated[list[str], typer.Option(help="Id of a dataset; may be given again.")],
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; may be given again.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="In place of the draft.")] = None,
    cash: Annotated[float, typer.Option(min=0.01, help="The money at the start.")] = 100_000.0,
    fee: Annotated[float, typer.Option(help="0.001 is 0.1 % of each fill's value.")] = 0.0,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Backtest a strategy on the server; `alphintra backtests show` tells what comes of it."""
    from alphintra.cli.client import Api
    from alphintra.cli.parameters import parameter_values

    body = {
        "dataset_ids": dataset,
        "parameters": parameter_values(param or ()),
        "version": version,
        "cash": cash,
        "costs": {"rate": fee},
    }
    with Api(url, timeout_s=60.0) as api:
        run = api.post(f"/strategies/{strategy_id}/backtest", body)
    if json:
        show_json(run)
    else:
        print(f"version {run['strategy_version']} of {run['strategy']} is {run['status']}")
        print(f"alphintra backtests show {run['id']}")


@app.command()
def share(
    strategy_id: StrategyId,
    person: Annotated[
        str | None, typer.Argument(help="E-mail address or id; without one: who has it.")
    ] = None,
    right: Annotated[
        str, typer.Option(help="VIEW, USE (backtest, deploy), EDIT, or NONE to take it away.")
    ] = "VIEW",
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Share a strategy with somebody, or list who has it."""
    from alphintra.cli.client import Api

    path = f"/strategies/{strategy_id}/shares"
    with Api(url) as api:
        if person is not None and right.upper() == "NONE":
            api.delete(f"{path}/{person}")
        elif person is not None:
            api.put(f"{path}/{person}", {"right": right.upper()})
        found = api.get(path)["items"]
    if json:
        show_json(found)
        return
    show_table(
        ["user", "right", "since"],
        ([one["user_id"], one["right"], one["created_at"]] for one in found),
        empty="Nobody else has it.",
    )


@app.command()
def delete(strategy_id: StrategyId, yes: YesOption = False, url: UrlOption = None) -> None:
    """Delete a strategy of which nothing was published or deployed."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        name = api.get(f"/strategies/{strategy_id}")["name"]
        ask(f"Delete {name} with all its versions?", yes=yes)
        api.delete(f"/strategies/{strategy_id}")
    print(f"{name} is deleted")


@app.command()
def templates(
    name: Annotated[str | None, typer.Argument(help="Show this one.")] = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List what a strategy can begin with, and what it came to on its data."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        if name is not None:
            shown = api.get(f"/strategy-templates/{name}")
            if json:
                show_json(shown)
            else:
                _print_template(shown)
            return
        found = api.get("/strategy-templates")["items"]
    if json:
        show_json(found)
        return
    show_table(
        ["name", "category", "type", "data", "return", "Sharpe", "drawdown", "trades"],
        (
            [
                one["name"], one["category"], one["type"], one["datasets"],
                *(_figure(figure, one["result"][figure]) for figure in _FIGURES),
            ]
            for one in found
        ),
        empty="There are none.",
    )  # fmt: skip


def _print_template(shown: dict[str, Any]) -> None:
    show_fields(
        {
            "title": shown["title"],
            "description": shown["description"],
            "data": shown["datasets"],
            **{name: _figure(name, shown["result"][name]) for name in _FIGURES},
        }
    )
    print(f"\n{shown['code'] or json_module.dumps(shown['blocks'], indent=2)}")


def _figure(name: str, value: float) -> str:
    if name in {"total_return", "max_drawdown"}:
        return f"{value:.1%}"
    return str(value) if name == "total_trades" else f"{value:.2f}"


def _content(file: Path) -> dict[str, object]:
    """Return what a file holds as the body of a request.

    Raises:
        CommandFailed: it is no text, or no JSON.
    """
    from alphintra.cli.errors import CommandFailed

    try:
        text = file.read_text(encoding="utf-8")
        return {"blocks": json_module.loads(text)} if file.suffix == ".json" else {"code": text}
    except ValueError as error:
        raise CommandFailed(f"{file} cannot be read: {error}") from error


def _range(declared: dict[str, Any]) -> str:
    if declared["choices"]:
        return "one of " + ", ".join(map(str, declared["choices"]))
    low, high = declared["low"], declared["high"]
    return f"{low:g} to {high:g}" if low is not None and high is not None else declared["kind"]
