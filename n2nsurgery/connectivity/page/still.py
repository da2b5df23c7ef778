"""A figure as SVG that needs no script: what is seen without JavaScript, and before the script draws it anew.

Colours are the classes of page.css, so that it follows light and dark. The script draws to the width that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from math import ceil, floor, log10, sqrt
from typing import Any

from markupsafe import Markup

from n2nsurgery.connectivity.page.figure import Figure
from n2nsurgery.connectivity.page.numbers import shown

Scale = Callable[[float], float]
Spec = Mapping[str, Any]

WIDTH, SMALL = 720, 340
"""Of a figure, and of one panel of several."""
LETTER = 6.4
"""Width of a letter at 12 pixels, on average."""
COLOURS = {"dead": "dead", "identity": "reference", "layer": "subject", "beside": "subject"}
"""Of a block's kind; every other kind is a skip."""


def still(figure: Figure) -> Markup:
    """The figure as HTML: one SVG, or several panels side by side."""
    return Markup(DRAW[figure.draw](figure.spec))  # noqa: S704 - every text and attribute has been escaped here


def _tag(name: str, text: str | None = None, **attributes: object) -> str:
    listed = "".join(f' {key.strip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items())
    return f"<{name}{listed}/>" if text is None else f"<{name}{listed}>{escape(text)}</{name}>"


def _svg(width: float, height: float, marks: Iterator[str]) -> str:
    whole = ' class="still"' if width >= WIDTH else ""  # a phone scrolls it instead of shrinking its labels
    return f'<svg{whole} viewBox="0 0 {width:.0f} {height:.0f}" role="img">{"".join(marks)}</svg>'


def _panels(spec: Spec, form: str, draw: Callable[[Spec], str]) -> str:
    panels = spec["panels"]
    if len(panels) == 1:
        return draw(panels[0])
    cells = "".join(f"<div><h4>{escape(panel['title'])}</h4>{draw(panel)}</div>" for panel in panels)
    return f'<div class="panels {form}">{cells}</div>'


def _scale(domain: Sequence[float], ends: tuple[float, float], *, log: bool) -> Scale:
    first, last = (log10(value) if log else value for value in domain)

    def place(value: float) -> float:
        part = ((log10(value) if log else value) - first) / ((last - first) or 1)
        return ends[0] + part * (ends[1] - ends[0])

    return place


def _ticks(domain: Sequence[float], *, log: bool) -> list[float]:
    if log:
        low, high = ceil(log10(domain[0]) - 1e-9), floor(log10(domain[1]) + 1e-9)
        return [10.0**power for power in range(low, high + 1, max(1, ceil((high - low + 1) / 7)))]
    raw = (domain[1] - domain[0]) / 4 or 1.0
    unit = 10.0 ** floor(log10(raw))
    step = unit * next(m for m in (1, 2, 5, 10) if m * unit >= raw * (1 - 1e-9))
    return [step * k for k in range(ceil(domain[0] / step - 1e-9), floor(domain[1] / step + 1e-9) + 1)]


def _lines(spec: Spec) -> str:
    small = len(spec["panels"]) > 1
    width, height = (SMALL, 180) if small else (WIDTH, 300)

    def marks(panel: Spec) -> Iterator[str]:
        left, right, top, bottom = 50, width - 12, 26, height - 42
        x = _scale((panel["x"][0], panel["x"][-1]), (left, right), log=True)
        y = _scale(panel["domain"], (bottom, top), log=panel["log"])
        for tick in _ticks(panel["domain"], log=panel["log"]):
            label = shown(log10(tick), "log10") if panel["log"] and tick < 1e-3 else shown(tick)  # noqa: PLR2004 - as marks.js
            yield _tag("line", x1=left, x2=right, y1=_at(y(tick)), y2=_at(y(tick)), class_="grid")
            yield _tag("text", label, x=left - 7, y=_at(y(tick) + 4), text_anchor="end")
        for tick in _ticks((panel["x"][0], panel["x"][-1]), log=True)[:: 2 if small else 1]:
            yield _tag("text", shown(tick), x=_at(x(tick)), y=bottom + 18, text_anchor="middle")
        yield _tag("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis")
        yield _tag("text", panel["xTitle"], x=right, y=height - 6, text_anchor="end")
        yield _tag("text", panel["yTitle"], x=0, y=12)
        for line in reversed(panel["series"]):
            points = [
                f"{x(px):.1f},{min(max(y(max(value, panel['domain'][0])), top), bottom):.1f}"
                for px, value in zip(panel["x"], line["values"], strict=True)
                if value is not None
            ]
            yield _tag("polyline", points=" ".join(points), class_=f"s-{line['colour']} line", stroke_width=2)

    return _panels(spec, "", lambda panel: _svg(width, height, marks(panel)))


def _rows(
    rows: Sequence[Spec], title: str, domain: tuple[float, float], mark: Callable[..., Iterator[str]], *, log: bool
) -> str:
    """Rows of names with a mark each."""
    if not rows:
        return "<p>Nothing to draw.</p>"
    left = min(max(len(row["label"]) for row in rows) * LETTER + 12, WIDTH * 0.45)
    bottom, pitch, letters = len(rows) * 20 + 4, 20, int((left - 12) / LETTER)
    x = _scale(domain, (left, WIDTH - 56), log=log)

    def marks() -> Iterator[str]:
        for tick in _ticks(domain, log=log):
            yield _tag("line", x1=_at(x(tick)), x2=_at(x(tick)), y1=0, y2=bottom, class_="grid")
            yield _tag("text", shown(tick), x=_at(x(tick)), y=bottom + 15, text_anchor="middle")
        for index, row in enumerate(rows):
            y, name = index * pitch + 12, row["label"]
            name = name if len(name) <= letters else f"\N{HORIZONTAL ELLIPSIS}{name[1 - letters :]}"
            yield _tag("text", name, x=_at(left - 8), y=y + 4, text_anchor="end", class_="strong")
            yield from mark(row, x, y, left)
        yield _tag("text", title, x=WIDTH, y=bottom + 34, text_anchor="end")

    return _svg(WIDTH, bottom + 40, marks())


def _bars(spec: Spec) -> str:
    values = [bar["value"] for bar in spec["bars"]]
    most = max([*values, 1e-9])
    most = spec["most"] if spec.get("most") and most > spec["most"] / 2 else most * 1.02

    def mark(bar: Spec, x: Scale, y: float, _left: float) -> Iterator[str]:
        ends = sorted((x(0), x(bar["value"])))
        colour = COLOURS.get(bar["kind"], "skip")
        width = _at(ends[1] - ends[0])
        yield _tag("rect", x=_at(ends[0]), y=y - 7, width=width, height=14, class_=f"f-{colour} bar")
        yield _tag("text", f"{bar['value']:.3g} %", x=_at(ends[1] + 5), y=y + 4)

    return _rows(spec["bars"], spec["x"], (min([*values, 0]), most), mark, log=False)


def _dots(spec: Spec) -> str:
    values = [value for dot in spec["dots"] for value in (dot["from"], dot["to"]) if value]
    low = min([*values, 100.0])
    domain = (low / 2, min(100.0, max([*values, low * 10]) * 1.2))

    def mark(dot: Spec, x: Scale, y: float, left: float) -> Iterator[str]:
        first, last = (x(dot[key]) if dot[key] else left for key in ("from", "to"))
        yield _tag("line", x1=_at(left), x2=_at(first), y1=y, y2=y, class_="grid")
        yield _tag("line", x1=_at(first), x2=_at(last), y1=y, y2=y, class_="s-subject", stroke_width=2)
        if dot["from"]:
            yield _tag("circle", cx=_at(first), cy=y, r=5.5, class_="s-subject dot", stroke_width=1.5)
        if dot["to"]:
            yield _tag("circle", cx=_at(last), cy=y, r=3.5, class_="f-subject dot")
        else:
            cross = f"M{left - 4:.1f} {y - 4}l8 8m0 -8l-8 8"
            yield _tag("path", d=cross, class_="s-dead dot", stroke_width=2)

    return _rows(spec["dots"], spec["x"], domain, mark, log=True)


def _arcs(spec: Spec) -> str:
    """The layers in a column, and an arc for each connection that leads around some of them."""
    names, arcs, pitch = spec["groups"], spec["arcs"], 18
    left = min(max(len(name) for name in names) * LETTER + 18, WIDTH * 0.42)
    longest = max([1, *(arc["to"] - min(arc["from"]) for arc in arcs)])
    heaviest = max([1, *(arc["weights"] or 0 for arc in arcs)])

    def marks() -> Iterator[str]:
        for index, name in enumerate(names):
            yield _tag("text", name, x=_at(left - 12), y=index * pitch + 16, text_anchor="end", class_="strong")
            yield _tag("circle", cx=_at(left), cy=index * pitch + 12, r=3, class_="f-reference")
        for arc in arcs:
            width = 1.2 + (3 * sqrt(arc["weights"] / heaviest) if arc["weights"] else 0)
            for start in arc["from"]:
                y, to = start * pitch + 12, arc["to"] * pitch + 12
                out = _at(left + (0.25 + 0.75 * sqrt(max(arc["to"] - start, 0.5) / longest)) * (WIDTH - left - 16))
                path = f"M{left:.1f} {y}C{out} {y} {out} {to} {left:.1f} {to}"
                colour = COLOURS.get(arc["kind"], "skip")
                yield _tag("path", d=path, class_=f"s-{colour}", stroke_width=_at(width), stroke_opacity=0.75)

    return _svg(WIDTH, len(names) * pitch + 12, marks())


def _pictures(spec: Spec) -> str:
    def picture(panel: Spec) -> str:
        return f'<div class="still">{_tag("img", src=panel["image"], alt=panel["title"])}</div>'

    return _panels(spec, "wide", picture)


def _at(value: float) -> str:
    return f"{value:.1f}"


DRAW: Mapping[str, Callable[[Spec], str]] = {
    "lines": _lines,
    "bars": _bars,
    "dots": _dots,
    "arcs": _arcs,
    "adjacency": _pictures,
    "warmth": _pictures,
}
