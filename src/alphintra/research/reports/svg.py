"""Charts that stand still, as SVG: bars, histograms, scatters and lines.

The same drawings are in the page, coloured by its style sheet, and in the PDF, coloured here. All
texts are escaped.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research.reports.wording import safe

Floats = NDArray[np.float64]

#: Colours for where no style sheet is.
PRINT_COLOURS: Final[Mapping[str, str]] = {
    "grid": "stroke:#e8ebf0",
    "axis": "stroke:#757e90",
    "tick": "fill:#5b6579;font-size:12px",
    "rule": "stroke:#757e90;stroke-dasharray:4 3",
    "mark-gain": "fill:#0b8f6a",
    "mark-loss": "fill:#cf3b56",
    "mark-plain": "fill:#2457e6",
    "line s0": "fill:none;stroke:#2457e6;stroke-width:1.6",
    "line s1": "fill:none;stroke:#8b95a7;stroke-width:1.2",
    "area": "fill:#cf3b56;fill-opacity:0.25",
}

_LEFT, _RIGHT, _TOP, _BOTTOM = 8.0, 64.0, 10.0, 24.0


@dataclass(slots=True)
class Drawing:
    """Marks on a plane with axes; x and y in the units of the data.

    `colours` is None where a style sheet colours by class.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    title: str
    width: float = 520.0
    height: float = 250.0
    colours: Mapping[str, str] | None = None
    _parts: list[str] = field(default_factory=list)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the data is on the drawing."""
        across = self.width - _LEFT - _RIGHT
        up = self.height - _TOP - _BOTTOM
        return (
            _LEFT + (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0) * across,
            self.height - _BOTTOM - (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1.0) * up,
        )

    def axes(
        self,
        *,
        y_text: Callable[[float], str],
        x_labels: Iterable[tuple[float, str]],
        y_ticks: int = 5,
    ) -> None:
        """Draw the lines and labels of both axes; a line at 0 is stronger."""
        right = self.width - _RIGHT
        for value in ticks(*self.y, y_ticks):
            _, y = self.place(self.x[0], value)
            style = self._style("axis" if value == 0.0 else "grid")
            self._parts.append(
                f'<line {style} x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            self.text(right + 6, y + 4, y_text(value))
        for value, label in x_labels:
            x, _ = self.place(value, self.y[0])
            self.text(x, self.height - 6, label, anchor="middle")

    def text(self, x: float, y: float, text: str, *, anchor: str = "start") -> None:
        """Write at a place of the drawing."""
        self._parts.append(
            f'<text {self._style("tick")} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{safe(text)}</text>"
        )

    def column(self, left: float, right: float, value: float, *, kind: str, tip: str) -> None:
        """Draw a bar from 0 to a value."""
        x1, y0 = self.place(left, min(max(0.0, self.y[0]), self.y[1]))
        x2, y1 = self.place(right, value)
        top, height = min(y0, y1), max(abs(y1 - y0), 0.5)
        self._parts.append(
            f'<rect {self._style(kind)} x="{x1:.1f}" y="{top:.1f}" width="{max(x2 - x1, 0.5):.1f}" '
            f'height="{height:.1f}" rx="1.5"><title>{safe(tip)}</title></rect>'
        )

    def dot(self, x: float, y: float, *, kind: str, tip: str, radius: float = 3.2) -> None:
        """Draw a point that says what it is."""
        left, top = self.place(x, y)
        self._parts.append(
            f'<circle {self._style(kind, "faded")} cx="{left:.1f}" cy="{top:.1f}" r="{radius}">'
            f"<title>{safe(tip)}</title></circle>"
        )

    def line(self, xs: Floats, ys: Floats, *, kind: str, filled: bool = False) -> None:
        """Draw a line through points; filled, down to 0 as well."""
        known = np.isfinite(ys)
        points = [self.place(x, y) for x, y in zip(xs[known], ys[known], strict=True)]
        if not points:
            return
        path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        if filled:
            _, base = self.place(self.x[0], 0.0)
            area = f"{path}L{points[-1][0]:.1f},{base:.1f}L{points[0][0]:.1f},{base:.1f}Z"
            self._parts.append(f'<path {self._style("area")} d="{area}"/>')
        self._parts.append(f'<path {self._style(kind)} d="{path}"/>')

    def rule(self, x: float) -> None:
        """Draw an upright dashed line."""
        left, top = self.place(x, self.y[1])
        bottom = self.height - _BOTTOM
        self._parts.append(
            f'<line {self._style("rule")} x1="{left:.1f}" x2="{left:.1f}" y1="{top:.1f}" '
            f'y2="{bottom:.1f}"/>'
        )

    def svg(self) -> str:
        """Return the drawing."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="static" role="img" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" aria-label="{safe(self.title)}">'
            f"{''.join(self._parts)}</svg>"
        )

    def _style(self, *kinds: str) -> str:
        if self.colours is None:
            return f'class="{" ".join(kinds)}"'
        style = self.colours.get(kinds[0], "")
        return f'style="{style}{";fill-opacity:0.7" if "faded" in kinds else ""}"'


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers between two values, about `count` of them."""
    span = high - low
    if not span > 0.0:
        return [low]
    power = 10.0 ** floor(log10(span / count))
    step = next(f * power for f in (1.0, 2.0, 5.0, 10.0) if f * power >= span / count)
    first = ceil(low / step - 1e-9)
    last = floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def columns(
    labels: Sequence[str],
    values: Sequence[float],
    *,
    title: str,
    text: Callable[[float], str],
    colours: Mapping[str, str] | None = None,
    width: float = 520.0,
) -> str:
    """Return one bar per label, up for a gain and down for a loss."""
    known = [value if np.isfinite(value) else 0.0 for value in values]
    low, high = min([0.0, *known]), max([0.0, *known])
    margin = (high - low or 1.0) * 0.08
    drawing = Drawing(
        x=(0.0, max(len(labels), 1)),
        y=(low - (margin if low else 0.0), high + (margin if high else 0.0)),
        title=title,
        colours=colours,
        width=width,
    )
    every = max(ceil(len(labels) / 12), 1)
    shown = [(row + 0.5, label) for row, label in enumerate(labels) if row % every == 0]
    drawing.axes(y_text=text, x_labels=shown)
    for row, (label, value) in enumerate(zip(labels, known, strict=True)):
        kind = "mark-gain" if value >= 0.0 else "mark-loss"
        drawing.column(row + 0.18, row + 0.82, value, kind=kind, tip=f"{label}: {text(value)}")
    return drawing.svg()


def histogram(
    values: Floats,
    *,
    title: str,
    text: Callable[[float], str],
    rules: Mapping[str, float],
    colours: Mapping[str, str] | None = None,
    width: float = 520.0,
) -> str:
    """Return how often values occur; what is beyond the outer half per cent is in the last bars.

    Args:
        rules: values to mark by an upright line, by what they are called.
    """
    known = values[np.isfinite(values)]
    low, high = (np.quantile(known, (0.005, 0.995))) if len(known) else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(np.clip(known, low, high), bins=41, range=(low, high))
    drawing = Drawing(
        x=(float(low), float(high)),
        y=(0.0, max(float(counts.max(initial=1)) * 1.3, 1.0)),
        title=title,
        colours=colours,
        width=width,
    )
    labels = [(value, text(value)) for value in ticks(float(low), float(high), 5)]
    drawing.axes(y_text=lambda value: f"{value:,.0f}", x_labels=labels)
    for number, left, right in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        kind = "mark-gain" if (left + right) / 2 >= 0.0 else "mark-loss"
        gap = (right - left) * 0.08
        tip = f"{text(left)} to {text(right)}: {number:,}"
        if number:
            drawing.column(left + gap, right - gap, number, kind=kind, tip=tip)
    for row, (label, value) in enumerate(rules.items()):
        if low <= value <= high:
            drawing.rule(value)
            x, _ = drawing.place(value, 0.0)
            drawing.text(x + 4, 20.0 + 15.0 * row, label)
    return drawing.svg()


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """What a scatter shows: where, whether it was a gain, and what to say of each."""

    x: Floats
    y: Floats
    gains: NDArray[np.bool_]
    tips: Sequence[str]


def scatter(
    points: Points,
    *,
    title: str,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
    x_labels: Sequence[tuple[float, str]] | None = None,
    colours: Mapping[str, str] | None = None,
    width: float = 520.0,
) -> str:
    """Return points coloured by gain and loss."""
    drawing = Drawing(
        x=_around(points.x),
        y=_around(np.append(points.y, 0.0)),
        title=title,
        colours=colours,
        width=width,
    )
    if x_labels is None:
        x_labels = [(value, x_text(value)) for value in ticks(*drawing.x, 5)]
    drawing.axes(y_text=y_text, x_labels=x_labels)
    for x, y, gain, tip in zip(points.x, points.y, points.gains, points.tips, strict=True):
        drawing.dot(float(x), float(y), kind="mark-gain" if gain else "mark-loss", tip=tip)
    return drawing.svg()


def _around(values: Floats) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    margin = (high - low or abs(high) or 1.0) * 0.05
    return low - margin, high + margin
