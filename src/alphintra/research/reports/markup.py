"""Pieces of HTML: tables, lists of facts, figures. Every text that goes in is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alphintra.research.reports.wording import NOTHING, safe


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: what it shows, what it sorts by, and how it looks."""

    text: str
    sort: float | str | None = None
    style: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; `style` is "text" for words, which stand at the left."""

    name: str
    style: str = ""


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell | str]],
    *,
    caption: str = "",
    sortable: bool = False,
    tall: bool = False,
) -> str:
    """Return a table, or a dash when it has no rows."""
    head = "".join(
        f'<th scope="col" class="{column.style}">'
        + (f'<button type="button">{safe(column.name)}</button>' if sortable else safe(column.name))
        + "</th>"
        for column in columns
    )
    body = "".join(
        "<tr>"
        + "".join(_cell(cell, column) for cell, column in zip(row, columns, strict=True))
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{safe(caption)}</caption>" if caption else ""
    if not body:
        return f"<h3>{safe(caption)}</h3><p>{NOTHING}</p>"
    kind = ' class="sortable"' if sortable else ""
    area = f'class="scroll{" tall" if tall else ""}" tabindex="0" role="region"'
    return (
        f'<div {area} aria-label="{safe(caption or "table")}"><table{kind}>{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(values: Mapping[str, str], *, title: str = "", left: bool = False) -> str:
    """Return names and values below each other."""
    rows = "".join(f"<dt>{safe(name)}</dt><dd>{safe(text)}</dd>" for name, text in values.items())
    heading = f"<h3>{safe(title)}</h3>" if title else ""
    return f'{heading}<dl class="facts{" left" if left else ""}">{rows}</dl>'


def panel(*content: str) -> str:
    """Return a box."""
    return f'<div class="panel">{"".join(content)}</div>'


def still(title: str, drawing: str, *, note: str = "") -> str:
    """Return a drawing with its title."""
    text = f"<p>{safe(note)}</p>" if note else ""
    return f"<figure><figcaption><h3>{safe(title)}</h3>{text}</figcaption>{drawing}</figure>"


def moving(
    chart: Mapping[str, Any],
    title: str,
    *,
    note: str = "",
    log: bool = False,
    symbol: str | None = None,
    hidden: bool = False,
) -> str:
    """Return the place of an interactive chart, with its buttons."""
    chips = ""
    series = chart["series"]
    if log:
        chips += '<button type="button" data-log aria-pressed="false">Log scale</button>'
    if len(series) > 1:
        chips += "".join(
            f'<button type="button" data-series="{safe(line["name"])}" aria-pressed="true">'
            f'<span class="swatch {safe(line["style"])}"></span>{safe(line["name"])}</button>'
            for line in series
        )
    if "candles" in chart:
        chips += '<button type="button" data-series="trades" aria-pressed="true">Trades</button>'
    of_symbol = f' data-symbol="{safe(symbol)}"' if symbol is not None else ""
    return (
        f'<figure id="{safe(chart["id"])}"{of_symbol}{" hidden" if hidden else ""}><figcaption>'
        f"<h3>{safe(title)}</h3>{f'<p>{safe(note)}</p>' if note else ''}"
        f'<div class="chips">{chips}</div></figcaption>'
        f'<div class="plot" tabindex="0" role="group" aria-label="{safe(title)}: arrow keys move '
        'the reading line, with shift the view; plus and minus zoom; Home shows everything">'
        '<div class="tip" role="status" hidden></div></div><p class="hint"></p></figure>'
    )


def _cell(cell: Cell | str, column: Column) -> str:
    if isinstance(cell, str):
        cell = Cell(cell)
    style = f"{column.style} {cell.style}".strip()
    sort = f' data-sort="{safe(cell.sort)}"' if cell.sort is not None else ""
    return f'<td class="{safe(style)}"{sort}>{safe(cell.text)}</td>'
