"""Two networks on one page: the numbers of both, without a script, and names stay names."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from n2nsurgery.connectivity import Origin, Subject
from n2nsurgery.connectivity.page.diff_page import densities, overlaps, render_diff, residual
from n2nsurgery.connectivity.paths.reach import chain
from n2nsurgery.connectivity.report.difference import difference
from n2nsurgery.connectivity.report.report import report

NASTY = """</style><script>alert("1")</script><img src=x onerror='alert(2)'>{{ 7*7 }}"""
SHAPES = ((12, 3), (8, 12), (4, 8))


def network(density, name, *, shapes=SHAPES):
    rng = np.random.default_rng(len(name))
    graph, dense = (chain([rng.random(shape) < kept for shape in shapes]) for kept in (density, 1.0))
    return Subject(graph=graph, dense=dense, origin=Origin(name=name, origin=f"from/{name}"))


def page(first, second):
    found, reports = difference(first, second), (report(first), report(second))
    return found, reports, render_diff(found, *reports)


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [tag, *(name for name, _ in attrs)]


def test_both_networks_have_their_headline_their_findings_and_their_numbers():
    found, reports, text = page(network(0.3, "thin"), network(0.7, "thick"))
    for name, each in zip("AB", reports, strict=True):
        assert f"{name}: {each.subject.name} is " in text
        assert text.count('<article class="card') == sum(len(other.findings) for other in reports)
    cells = re.findall(r"kept</span></th><td[^>]*>([\d,]+) weights</td><td[^>]*>([\d,]+) weights", text)
    assert cells == [tuple(f"{each.value:,}" for each in found.totals["kept"])]
    assert "There is no distance F" not in text


def test_networks_of_other_sizes_are_compared_without_a_distance():
    _, _, text = page(network(0.5, "a"), network(0.5, "other", shapes=((5, 3), (4, 5))))
    assert "There is no distance F" in text
    assert "nothing gets through in B, or it has no such layer" in text


def test_the_plots_hold_the_values_of_both():
    found, (a, b), _ = page(network(0.3, "thin"), network(0.7, "thick"))
    lines = residual(a, b).spec["panels"][0]["series"]
    assert [line["name"] for line in lines] == ["A", "B"]
    for line, each in zip(lines, (a, b), strict=True):
        assert line["values"] == pytest.approx(each.curves["residual"].lines["this network"], rel=1e-5)  # six digits
    assert [row[0] for row in densities(found).rows] == [layer.name for layer in found.layers]
    assert [row[2] for row in overlaps(found).rows] == pytest.approx(
        [100 * each.overlap for each in found.layers], rel=1e-5
    )


def test_a_phone_is_told_that_the_plots_go_on_beside_its_screen():
    text = page(network(0.3, "thin"), network(0.7, "thick"))[2]
    narrow = re.search(r"@media screen and \(max-width: 40rem\) \{(.*?)\n\}", text, re.DOTALL)[1]
    assert "overflow-x: auto" in narrow
    assert "Scroll the plot sideways" in narrow


def test_names_with_markup_stay_names_and_nothing_is_loaded():
    tags = Tags(page(network(0.5, NASTY), network(0.5, "b"))[2]).found
    plain = Tags(page(network(0.5, "x" * len(NASTY)), network(0.5, "b"))[2]).found
    assert tags == plain
    assert not {"script", "img", "src", "href", "onerror"} & set(tags) - {"href"}
