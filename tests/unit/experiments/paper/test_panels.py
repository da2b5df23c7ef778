from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from n2nsurgery.experiments.paper.panels import Panel, PanelCurve, draw, style


def texts(folder, panel: Panel) -> list[str]:
    _, svg = draw(folder, "figure", [panel])
    return [text.text for text in ET.parse(folder / svg).iter() if text.tag.endswith("text")]  # noqa: S314 - we wrote it


def panel(x: tuple[float, ...], scale: str) -> Panel:
    return Panel(title="t", x_label="x", y_label="y", curves=(PanelCurve(label="", x=x, y=x),), x_scale=scale)


def test_epochs_are_whole(tmp_path):
    named = texts(tmp_path, panel((1, 2, 3), "linear"))
    assert {"1", "2", "3"} <= set(named)
    assert "1.5" in texts(tmp_path, panel((1, 2, 3.1), "linear"))


@pytest.mark.parametrize(
    ("x", "named"),
    [((2.0, 5.0, 10.0, 50.0), {"2", "5", "10", "50"}), (tuple(range(3, 99, 7)), {"5", "10", "20", "50"})],
)
def test_a_logarithmic_axis_has_plain_numbers(tmp_path, x, named):
    found = texts(tmp_path, panel(x, "log"))
    assert named <= set(found)
    assert not any("10^" in text or "\\" in text for text in found)


@pytest.mark.parametrize("curves", [(), (PanelCurve(label="", x=(1, 2), y=(math.nan, math.nan)),)])
def test_a_panel_without_a_run_says_so(tmp_path, curves):
    empty = Panel(title="t", x_label="x", y_label="y", curves=curves)
    assert "no run yet" in texts(tmp_path, empty)
    assert "no run yet" not in texts(tmp_path, panel((1, 2), "linear"))


def test_curves_can_be_told_apart():
    assert len({style(number) for number in range(30)}) == 30


@pytest.mark.parametrize(("number", "below"), [(3, False), (13, True)])
def test_the_legend_of_many_curves_stands_below_the_points(tmp_path, number, below):
    curves = tuple(PanelCurve(label=f"method {each}", x=(1, 2), y=(each, each)) for each in range(number))
    _, svg = draw(tmp_path, "figure", [Panel(title="t", x_label="label of x", y_label="y", curves=curves)])
    words = {text.text: text for text in ET.parse(tmp_path / svg).iter() if text.tag.endswith("text")}  # noqa: S314
    label, *entries = (height(words[name]) for name in ("label of x", *(f"method {each}" for each in range(number))))
    assert all((entry > label) is below for entry in entries)


def height(text: ET.Element) -> float:
    """How far from the top of the page `text` stands."""
    return float(text.get("y") or re.search(r"translate\([-\d.]+ ([-\d.]+)\)", text.get("transform"))[1])
