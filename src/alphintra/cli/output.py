"""What commands print: tables for people, JSON for programs, questions before what is dangerous."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="The server; default: ALPHINTRA_URL, else the last login."),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]


def show_json(value: object) -> None:
    """Print a value as JSON; decimals are strings in it already."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows as a table, or the sentence `empty` when there are none."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        # Nothing is cut off, and an id stays in one piece: the next command needs it.
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    if table.row_count == 0:
        print(empty)
        return
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 400  # in a pipe nothing is folded or cut off
    console.print(table)


def show_fields(fields: Mapping[str, object]) -> None:
    """Print names and values below each other; what is `None` is left out."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        if value is not None:
            print(f"{name:<{width}}  {cell(value)}")


#: Behind the date of a time at which a day begins or ends.
_DAY = re.compile(r"(?<=^\d{4}-\d\d-\d\d)T(00:00:00|23:59:59\.999999)Z$")
#: Figures that people read as a percentage.
_SHARES = frozenset(
    {"total_return", "cagr", "max_drawdown", "win_rate", "exposure", "buy and hold"}
)


def figure(name: str, value: Any) -> str:
    """Return a figure of a backtest as a person reads it."""
    if isinstance(value, str):
        # A bar of a day ends just before midnight, and people call it by its day.
        return _DAY.sub("", value)
    if not isinstance(value, float):
        return "–" if value is None else str(value)
    if name in _SHARES:
        return f"{value:.2%}"
    return f"{value:,.2f}"


def cell(value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(cell(inner) for inner in value) or "–"
    return str(value)


def ask(question: str, *, yes: bool) -> None:
    """Ask before something dangerous; ends the command unless the answer is yes.

    Without a terminal to ask on, `--yes` is demanded: a script must say that it means it.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        from alphintra.cli.errors import CommandFailed

        raise CommandFailed(
            "this asks before it acts, and there is nobody to ask",
            code="confirmation_needed",
            advice="Add --yes to say that you mean it.",
        )
    typer.confirm(question, abort=True)
