"""Charts as SVG that scales to any width: shapes inside, labels as text beside it.

Colours are classes of the page. A chart is drawn into a box of 1000 by 1000 that is stretched, so
lines keep their width (`non-scaling-stroke`) and labels their size.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shared.market import Candles, Floats, Times

BOX = 1000.0
MOST_POINTS = 700


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """One line; `style`: its class."""

    at: Floats | Times
    values: Floats
    style: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """The area between two lines."""

    at: Floats | Times
    low: Floats
    high: Floats
    style: str
    name: str = ""


class Scale:
    """From values to the box, and the values that get a label.

    Args:
        rising: Whether greater values are nearer to 0 (of the height), instead of farther.
    """

    def __init__(self, low: float, high: float, *, upwards: bool) -> None:
        room = (high - low) or abs(high) or 1.0
        self.low, self.high, self._upwards = low, low + room if high == low else high, upwards

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return BOX * (1 - share if self._upwards else share)

    def ticks(self, count: int) -> list[float]:
        """Return about so many round values."""
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / count))
        step = next(f * step for f in (1, 2, 5, 10) if (self.high - self.low) / (f * step) <= count)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def chart(
    lines: Sequence[Line],
    bands: Sequence[Band] = (),
    *,
    title: str,
    value_text: Callable[[float], str],
    place_texts: Sequence[tuple[float, str]],
    height_px: int = 280,
    zero: bool = False,
) -> str:
    """Return a chart of lines and areas over one axis.

    Args:
        title: Says what is seen, for those who do not see it.
        place_texts: Labels of the horizontal axis, each with its place on it.
        zero: Whether the vertical axis must hold 0.
    """
    values = [each.values for each in lines] + [x for b in bands for x in (b.low, b.high)]
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = 0.04 * (high - low)
    y = Scale(low - margin, high + margin, upwards=True)
    spans = [each.at for each in lines] + [each.at for each in bands]
    begin, end = min(float(at[0]) for at in spans), max(float(at[-1]) for at in spans)
    x = Scale(begin, end, upwards=False)
    shapes = [_area(band, x, y) for band in bands]
    if y.low < 0 < y.high and zero:
        shapes.append(f'<path class="axis" d="M0 {y.at(0):.1f}H{BOX:.0f}"/>')
    shapes += [_path(line, x, y) for line in lines]
    return _framed(shapes, (x, y), title, value_text, place_texts, height_px)


def histogram(
    counts: Sequence[int], edges: Sequence[float], *, title: str, value_text: Callable[[float], str]
) -> str:
    """Return bars of counts; those below zero are drawn as losses."""
    y = Scale(0.0, max(counts, default=0) * 1.05 or 1.0, upwards=True)
    x = Scale(edges[0], edges[-1], upwards=False)
    shapes = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        kind = "won" if (left + right) / 2 > 0 else "lost"
        width = x.at(right) - x.at(left)
        shapes.append(
            f'<rect class="{kind}" x="{x.at(left) + width * 0.06:.1f}" y="{y.at(count):.1f}" '
            f'width="{width * 0.88:.1f}" height="{BOX - y.at(count):.1f}">'
            f"<title>{count} trades from {value_text(left)} to {value_text(right)}</title></rect>"
        )
    places = [(tick, value_text(tick)) for tick in x.ticks(8)]
    return _framed(shapes, (x, y), title, lambda v: f"{v:g}", places, 220)


def candle_picture(candles: Candles, marks: Sequence[tuple[float, str]], trade: Line) -> str:
    """Return a small picture of candles, of price levels by their style, and of a trade's line."""
    low = min(float(candles.low.min()), *(price for price, _ in marks))
    high = max(float(candles.high.max()), *(price for price, _ in marks))
    margin = 0.05 * (high - low)
    y = Scale(low - margin, high + margin, upwards=True)
    bar_ms = int(np.diff(candles.open_time_ms).min()) if len(candles) > 1 else 1
    times = candles.open_time_ms
    x = Scale(float(times[0]), float(times[-1] + bar_ms), upwards=False)
    shapes = []
    for style in ("up", "down"):
        chosen = (candles.close >= candles.open) == (style == "up")
        wicks = "".join(
            f"M{x.at(t + bar_ms / 2):.1f} {y.at(h):.1f}V{y.at(b):.1f}"
            for t, h, b in zip(
                times[chosen], candles.high[chosen], candles.low[chosen], strict=True
            )
        )
        shapes.append(f'<path class="wick {style}" d="{wicks or "M0 0"}"/>')
    for price, style in marks:
        shapes.append(f'<path class="level {style}" d="M0 {y.at(price):.1f}H{BOX:.0f}"/>')
    shapes.append(_path(trade, x, y))
    return _svg(shapes, 90, "candles around the trade, its stop, target, entry and exit")


def _framed(  # noqa: PLR0917  # one call each
    shapes: Sequence[str],
    scales: tuple[Scale, Scale],
    title: str,
    value_text: Callable[[float], str],
    place_texts: Sequence[tuple[float, str]],
    height_px: int,
) -> str:
    x, y = scales
    ticks = y.ticks(5)
    grid = "".join(f"M0 {y.at(tick):.1f}H{BOX:.0f}" for tick in ticks)
    drawn = _svg([f'<path class="grid" d="{grid or "M0 0"}"/>', *shapes], height_px, title)
    values = "".join(
        f'<span style="top:{y.at(tick) / 10:.2f}%">{html.escape(value_text(tick))}</span>'
        for tick in ticks
    )
    places = "".join(
        f'<span style="left:{x.at(place) / 10:.2f}%">{html.escape(text)}</span>'
        for place, text in place_texts
    )
    return (
        f'<div class="chart"><div class="values">{values}</div>{drawn}'
        f'<div class="places">{places}</div></div>'
    )


def _svg(shapes: Sequence[str], height_px: int, title: str) -> str:
    return (
        f'<svg role="img" aria-label="{html.escape(title)}" style="height:{height_px}px" '
        f'viewBox="0 0 {BOX:.0f} {BOX:.0f}" preserveAspectRatio="none">{"".join(shapes)}</svg>'
    )


def _path(line: Line, x: Scale, y: Scale) -> str:
    points = _points(line.at, line.values, x, y)
    name = f"<title>{html.escape(line.name)}</title>" if line.name else ""
    return f'<path class="line {line.style}" d="M{points}">{name}</path>'


def _area(band: Band, x: Scale, y: Scale) -> str:
    there = _points(band.at, band.high, x, y)
    back = _points(band.at[::-1], band.low[::-1], x, y)
    name = f"<title>{html.escape(band.name)}</title>" if band.name else ""
    return f'<path class="area {band.style}" d="M{there}L{back}Z">{name}</path>'


def _points(at: Floats | Times, values: Floats, x: Scale, y: Scale) -> str:
    chosen = thinned(values)
    return "L".join(f"{x.at(float(at[i])):.1f} {y.at(float(values[i])):.1f}" for i in chosen)


def thinned(values: Floats, most: int = MOST_POINTS) -> list[int]:
    """Return which of many values to draw: of each stretch the first, lowest, highest and last.

    Shapes: (n,) -> at most `most` places, ascending.
    """
    if len(values) <= most:
        return list(range(len(values)))
    chosen: set[int] = set()
    for part in np.array_split(np.arange(len(values)), most // 4):
        inside = values[part]
        chosen |= {
            int(part[0]), int(part[-1]),
            int(part[inside.argmin()]), int(part[inside.argmax()]),
        }  # fmt: skip
    return sorted(chosen)
