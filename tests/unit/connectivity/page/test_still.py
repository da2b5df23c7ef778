"""Figures without a script: every value has its mark, and nothing in a name becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from n2nsurgery.connectivity.page.figure import Figure
from n2nsurgery.connectivity.page.still import still

NASTY = """</text><script>1</script>"'&"""


def figure(draw, **spec):
    return Figure(id="f", draw=draw, title="t", caption="c", spec=spec, columns=(), rows=())


def bars(*values, **more):
    return figure("bars", x="share (%)", bars=[{"label": f"b{v}", "value": v, "kind": "dead"} for v in values], **more)


def panel(values, **more):
    series = [{"name": "one", "colour": "subject", "values": values}]
    x = [10.0**k for k in range(len(values))]
    return {
        "title": "p",
        "x": x,
        "xTitle": "t",
        "yTitle": "y",
        "log": False,
        "domain": [0, 1],
        "series": series,
        **more,
    }


def numbers(text, attribute):
    return [float(value) for value in re.findall(rf' {attribute}="(-?[\d.]+)"', text)]


def test_bars_are_as_long_as_their_values():
    widths = re.findall(r'<rect [^>]*width="([\d.]+)"', still(bars(10, 20, 40)))
    short, middle, long = map(float, widths)
    assert (middle / short, long / short) == pytest.approx((2, 4), rel=0.01)  # places are written to a tenth of a pixel


def test_the_axis_ends_at_its_most_where_a_bar_is_long():
    assert 100 in numbers_of_ticks(still(bars(80, most=100)))
    assert 100 not in numbers_of_ticks(still(bars(8, most=100)))


def numbers_of_ticks(text):
    return [float(value) for value in re.findall(r">([\d.]+)</text>", text)]


def test_a_line_goes_through_its_values_and_leaves_out_those_that_are_unknown():
    (points,) = re.findall(r'points="([^"]*)"', still(figure("lines", panels=[panel([0.0, None, 0.5, 1.0])])))
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert len(heights) == 3
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.1)


def test_a_layer_through_which_nothing_gets_is_crossed_out():
    dots = [{"label": "a", "from": 0.5, "to": 0.5, "kept": 1}, {"label": "b", "from": 0.1, "to": 0.0, "kept": 1}]
    text = still(figure("dots", x="density", dots=dots))
    assert len(re.findall("s-dead", text)) == 1
    assert len(re.findall("<circle", text)) == 3


def test_an_arc_leads_from_what_it_reads_to_what_it_is_added_to():
    arcs = [{"name": "s", "kind": "n2n", "from": [0], "to": 2, "weights": 9, "note": ""}]
    text = still(figure("arcs", groups=["a", "b", "c"], arcs=arcs))
    dots = numbers(text, "cy")
    start, end = re.findall(r'd="M[\d.]+ (\d+)C.* (\d+)"', text)[0]
    assert [float(start), float(end)] == [dots[0], dots[2]]


@pytest.mark.parametrize("draw", ["bars", "dots", "arcs", "lines"])
def test_names_with_markup_stay_names(draw):
    specs = {
        "bars": {"x": NASTY, "bars": [{"label": NASTY, "value": 1, "kind": NASTY}]},
        "dots": {"x": NASTY, "dots": [{"label": NASTY, "from": 0.5, "to": 0.5, "kept": 1}]},
        "arcs": {"groups": [NASTY, "b"], "arcs": []},
        "lines": {"panels": [panel([0, 1], title=NASTY, xTitle=NASTY), panel([0, 1])]},
    }
    text = still(replace(figure(draw), spec=specs[draw]))
    assert "<script" not in text
    assert "&lt;script" in text


def test_an_empty_figure_says_so():
    assert "Nothing to draw" in still(bars())
