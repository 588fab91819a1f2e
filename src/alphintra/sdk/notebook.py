"""How results and strategies look in a notebook."""

from collections.abc import Iterable, Sequence
from html import escape

from alphintra.sdk.parameters import parameters_of


def table_html(title: str, rows: Iterable[tuple[str, object]], *, notes: Sequence[str] = ()) -> str:
    """Return a titled table of names and values, with notes below; everything is escaped."""
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(name.replace('_', ' '))}</th>"
        f"<td style='text-align:right'>{escape(_cell(value))}</td></tr>"
        for name, value in rows
    )
    below = "".join(f"<p>⚠ {escape(note)}</p>" for note in notes)
    return f"<div><strong>{escape(title)}</strong><table>{body}</table>{below}</div>"


def strategy_html(strategy: object) -> str:
    """Return a strategy's parameters: values, and what is allowed."""
    title = strategy.__name__ if isinstance(strategy, type) else type(strategy).__name__
    rows = []
    for name, parameter in parameters_of(strategy).items():
        value = parameter.default
        if not isinstance(strategy, type):
            value = getattr(strategy, name, value)
        text = f"{value} ({parameter.describe()})"
        rows.append((name, f"{text} {parameter.help}".strip()))
    return table_html(title, rows or [("parameters", "none")])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    return "–" if value is None else str(value)
