"""`alphintra dataset …`: data for research. Check, upload, look at, derive and fetch it."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from alphintra.cli.errors import CommandFailed, Refused
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

app = typer.Typer(help="Data for research: upload, look at, derive.", no_args_is_help=True)

File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="CSV, Parquet, JSON, or CSV in a zip.")
]
DatasetId = Annotated[str, typer.Argument(help="Id of the dataset.")]
NameOption = Annotated[str, typer.Option("--name", help="What to call it.")]
Symbol = Annotated[str, typer.Option("--symbol", "-s", help="Of the rows; empty: the file says.")]
Timeframe = Annotated[str, typer.Option("--timeframe", "-t", help="Of candles; found if empty.")]
Timezone = Annotated[str, typer.Option(help="Zone of times that have none.")]
Columns = Annotated[str, typer.Option(help="Names in order, comma separated.")]
DateFormat = Annotated[str, typer.Option(help="Form of the times, as in strptime.")]
Day = Annotated[str, typer.Option("--date", help="Day of times that count from midnight.")]
PriceScale = Annotated[str, typer.Option(help="What prices are multiplied by.")]
Times = Annotated[str, typer.Option(help="open or close: what candles are stamped with.")]
BadRows = Annotated[str, typer.Option(help="drop: leave out rows that cannot be right.")]
Duplicates = Annotated[str, typer.Option(help="first or last of different candles of one time.")]
Order = Annotated[str, typer.Option(help="sort: accept rows in no order.")]
Jumps = Annotated[str, typer.Option(help="keep: accept jumps that look like errors or splits.")]
Adjustment = Annotated[str, typer.Option(help="raw, split or total_return: what prices are.")]

_LIST_COLUMNS = ("id", "name", "symbols", "kind", "timeframe", "rows", "verdict", "visibility")
_MARKS = {"note": "·", "warning": "!", "decision": "?", "refusal": "✗"}
_ARROW_SUFFIXES = {".arrow", ".arrows"}


@app.command()
def check(
    file: File,
    symbol: Symbol = "",
    timeframe: Timeframe = "",
    timezone: Timezone = "",
    columns: Columns = "",
    date_format: DateFormat = "",
    day: Day = "",
    price_scale: PriceScale = "",
    times: Times = "",
    bad_rows: BadRows = "",
    duplicates: Duplicates = "",
    order: Order = "",
    jumps: Jumps = "",
    adjustment: Adjustment = "",
    json: JsonOption = False,
) -> None:
    """Say what an upload would be found to be; needs no server."""
    given = _given(
        symbol=symbol, timeframe=timeframe, timezone=timezone, columns=columns,
        date_format=date_format, date=day, price_scale=price_scale, times=times,
        bad_rows=bad_rows, duplicates=duplicates, order=order, jumps=jumps, adjustment=adjustment,
    )  # fmt: skip
    told = _check_here(file, given)
    if json:
        show_json(told)
    else:
        show_report(told["report"])
        if told["facts"]:
            facts = told["facts"]
            print(f"{facts['rows']:,} rows of {', '.join(facts['symbols'][:10])}", end="")
            print(f", {facts['kind']} {facts['timeframe']}".rstrip())
    raise typer.Exit(0 if told["facts"] else 1)


@app.command()
def upload(
    file: File,
    name: NameOption = "",
    visibility: Annotated[str, typer.Option(help="private, or platform.")] = "",
    symbol: Symbol = "",
    timeframe: Timeframe = "",
    timezone: Timezone = "",
    columns: Columns = "",
    date_format: DateFormat = "",
    day: Day = "",
    price_scale: PriceScale = "",
    times: Times = "",
    bad_rows: BadRows = "",
    duplicates: Duplicates = "",
    order: Order = "",
    jumps: Jumps = "",
    adjustment: Adjustment = "",
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Upload a file. What it is asked about, say by these options and upload it again."""
    from alphintra.cli.client import Api

    fields = _given(
        name=name, visibility=visibility, symbol=symbol, timeframe=timeframe, timezone=timezone,
        columns=columns, date_format=date_format, date=day, price_scale=price_scale, times=times,
        bad_rows=bad_rows, duplicates=duplicates, order=order, jumps=jumps, adjustment=adjustment,
    )  # fmt: skip
    with Api(url) as api:
        try:
            made = api.upload("/datasets/upload", file, fields)
            quality = api.get(f"/datasets/{made['id']}/quality")
        except Refused as refusal:
            if (report := refusal.document.get("report")) is None:
                raise
            if json:
                show_json(refusal.document)
            else:
                show_report(report)
            raise typer.Exit(1) from refusal
    if json:
        show_json(made)
        return
    show_report(quality)
    show_fields(made)


@app.command("list")
def list_(
    symbol: Annotated[
        str | None, typer.Option("--symbol", "-s", help="Those that have it.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="candles, quotes or trades.")] = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List your datasets and the platform's, the latest first."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.pages("/datasets", limit=limit, symbol=symbol, kind=kind)
    if json:
        show_json(found)
        return
    show_table(
        _LIST_COLUMNS,
        ([one.get(column) for column in _LIST_COLUMNS] for one in found),
        empty="There are no datasets. Upload one with: alphintra dataset upload FILE",
    )


@app.command()
def show(dataset_id: DatasetId, url: UrlOption = None, json: JsonOption = False) -> None:
    """Show a dataset, what was found in it, and its figures."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.get(f"/datasets/{dataset_id}")
        quality = api.get(f"/datasets/{dataset_id}/quality")
        figures = api.get(f"/datasets/{dataset_id}/statistics")["symbols"]
    if json:
        show_json({**found, "quality": quality, "statistics": figures})
        return
    show_fields(found)
    print()
    show_report(quality)
    for symbol, values in list(figures.items())[:20]:
        print(f"\n{symbol}")
        show_fields({f"  {name}": value for name, value in values.items()})


@app.command()
def preview(
    dataset_id: DatasetId,
    symbol: Symbol = "",
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, max=500, help="At each end.")] = 5,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Show the first and the last rows."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.get(f"/datasets/{dataset_id}/preview", rows=rows, symbol=symbol)
    if json:
        show_json(found)
        return
    between = [["…"] * len(found["columns"])] if found["rows"] > 2 * rows else []
    show_table(found["columns"], [*found["head"], *between, *found["tail"]], empty="No rows.")


@app.command()
def resample(
    dataset_id: DatasetId,
    timeframe: Annotated[str, typer.Argument(help="5m, 1h, 1d, 1w, 1mo …")],
    calendar: Annotated[str, typer.Option(help="Whose sessions are days, e.g. XNYS.")] = "ALWAYS",
    name: NameOption = "",
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Make a dataset of candles of a longer timeframe."""
    body: dict[str, object] = {"timeframe": timeframe, "calendar": calendar, "name": name}
    _derive(f"/datasets/{dataset_id}/resample", body, url=url, json=json)


@app.command()
def adjust(
    dataset_id: DatasetId,
    to: Annotated[str, typer.Argument(help="split, total_return or raw.")],
    actions: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV with the columns ex_date, ratio, amount and, if there are several, symbol.",
        ),
    ] = None,
    before: Annotated[str, typer.Option(help="raw or split, if the dataset does not know.")] = "",
    name: NameOption = "",
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Make a dataset whose prices are adjusted for splits, or for splits and dividends."""
    body: dict[str, object] = {"to": to, "before": before, "name": name}
    if actions is not None:
        body["actions"] = read_actions(actions)
    _derive(f"/datasets/{dataset_id}/adjust", body, url=url, json=json)


@app.command()
def record(
    symbol: Annotated[str, typer.Argument(help="Which instrument, e.g. AAPL.")],
    start: Annotated[str, typer.Option(help="From this time on, ISO 8601 with an offset.")],
    end: Annotated[str, typer.Option(help="Up to this time, ISO 8601 with an offset.")],
    kind: Annotated[str, typer.Option(help="candles, quotes or trades.")] = "candles",
    timeframe: Annotated[str, typer.Option("--timeframe", "-t", help="Of candles.")] = "1m",
    source: Annotated[str, typer.Option(help="Of ticks, if there are several.")] = "",
    name: NameOption = "",
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Make a dataset of what the platform has recorded."""
    body: dict[str, object] = {
        "symbol": symbol.upper(), "kind": kind, "timeframe": timeframe, "start": start,
        "end": end, "source": source, "name": name,
    }  # fmt: skip
    _derive("/datasets/record", body, url=url, json=json)


@app.command()
def download(
    dataset_id: DatasetId,
    target: Annotated[Path, typer.Argument(help="Where to: .parquet, .csv or .arrow.")],
    symbol: Symbol = "",
    start: Annotated[str | None, typer.Option(help="From this time on, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="Up to this time, ISO 8601.")] = None,
    url: UrlOption = None,
) -> None:
    """Write a dataset to a file."""
    from alphintra.cli.client import Api

    suffix = target.suffix.lower()
    if suffix not in {*_ARROW_SUFFIXES, ".parquet", ".csv"}:
        raise CommandFailed(
            f"{target.name} is no form that is known", advice="End it in .parquet, .csv or .arrow."
        )
    with Api(url) as api:
        stream = target if suffix in _ARROW_SUFFIXES else target.with_suffix(".arrow-stream")
        api.download(f"/datasets/{dataset_id}/data", stream, symbol=symbol, start=start, end=end)
    if stream != target:
        try:
            _convert(stream, target)
        finally:
            stream.unlink()
    print(f"{target} has {target.stat().st_size:,} bytes.")


@app.command()
def delete(dataset_id: DatasetId, yes: YesOption = False, url: UrlOption = None) -> None:
    """Remove a dataset of yours."""
    from alphintra.cli.client import Api

    ask(f"Remove dataset {dataset_id}?", yes=yes)
    with Api(url) as api:
        api.delete(f"/datasets/{dataset_id}")
    print("Removed.")


def read_actions(file: Path) -> list[dict[str, object]]:
    """Return the corporate actions of a CSV file as the API takes them.

    Raises:
        CommandFailed: a row is none.
    """
    import csv

    actions: list[dict[str, object]] = []
    with file.open(encoding="utf-8-sig", newline="") as opened:
        for number, row in enumerate(csv.DictReader(opened), start=1):
            try:
                actions.append(
                    {
                        "ex_date": date.fromisoformat(
                            (row.get("ex_date") or "").strip()
                        ).isoformat(),
                        "symbol": (row.get("symbol") or "").strip(),
                        "ratio": float(row.get("ratio") or 0),
                        "amount": float(row.get("amount") or 0),
                    }
                )
            except ValueError as error:
                raise CommandFailed(
                    f"row {number} of {file.name} is no action: {error}",
                    advice="Columns: ex_date (2020-08-31), ratio (4) or amount (0.22), symbol.",
                ) from error
    return actions


def show_report(report: Mapping[str, Any]) -> None:
    """Print a verdict and its findings, the gravest first."""
    print(str(report["verdict"]).replace("_", " "))
    for one in report["findings"]:
        rows = ", ".join(str(row) for row in one["rows"][:5])
        more = "…" if one["count"] > 5 else ""
        where = f" (rows {rows}{more})" if rows else ""
        print(f"  {_MARKS[one['severity']]} {one['reason']}{where}  [{one['code']}]")
        if one["advice"]:
            print(f"      {one['advice']}")
        if one["option"]:
            flag = f"--{one['option'].replace('_', '-')}"
            proposals = [f"{flag} '{choice}'" for choice in one["choices"]] or [f"{flag} …"]
            print(f"      {'  or  '.join(proposals)}")


def _given(**options: str) -> dict[str, str]:
    return {name: value for name, value in options.items() if value}


def _check_here(file: Path, given: Mapping[str, str]) -> dict[str, Any]:
    import asyncio
    import shutil
    import tempfile
    import time

    import msgspec

    from alphintra.market import check_apart, check_here, options_of
    from alphintra.platform.sandbox import SandboxUnavailable

    how: dict[str, Any] = {  # what both take
        "name": file.name,
        "options": options_of(given),
        "now_ns": time.time_ns(),
    }
    with tempfile.TemporaryDirectory(prefix="alphintra-check-") as name:
        folder = Path(name)
        shutil.copyfile(file, folder / "upload")
        try:
            checked = asyncio.run(check_apart(folder, **how))
        except SandboxUnavailable:  # it is our caller's own file, in our caller's own process
            checked = check_here(folder, **how)
    told: dict[str, Any] = msgspec.to_builtins(checked)
    return told


def _derive(path: str, body: Mapping[str, object], *, url: str | None, json: bool) -> None:
    from alphintra.cli.client import Api

    with Api(url) as api:
        # The same content is the same dataset, so a second request is harmless.
        made = api.post(path, body, repeat=True)
    if json:
        show_json(made)
    else:
        show_fields(made)


def _convert(stream: Path, target: Path) -> None:
    import pyarrow as pa

    with pa.ipc.open_stream(stream) as reader:
        table: pa.Table = reader.read_all()
    if target.suffix.lower() == ".csv":
        import pyarrow.csv

        pyarrow.csv.write_csv(table, target)
    else:
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, target, compression="zstd")
