"""The plots of a report as matplotlib figures: their values are the report's, and a name stays a name."""

from __future__ import annotations

import numpy as np
import pytest

from n2nsurgery.connectivity import (
    Origin,
    Subject,
    plot_density,
    plot_distance,
    plot_heat,
    plot_limits,
    plot_report,
    plot_scree,
)
from n2nsurgery.connectivity.page.plots import COLOURS, Plot
from n2nsurgery.connectivity.paths.reach import chain
from n2nsurgery.connectivity.report.report import report

SIZES = (3, 12, 8, 4)


def reported(density=0.4, name="net", sizes=SIZES):
    rng = np.random.default_rng(0)
    pairs = list(zip(sizes[1:], sizes, strict=False))
    graph, dense = (chain([rng.random(shape) < kept for shape in pairs]) for kept in (density, 1.0))
    return report(Subject(graph=graph, origin=Origin(name=name)), Subject(graph=dense, origin=Origin(name="dense")))


def test_the_lines_of_the_heat_are_its_curves():
    found = reported()
    (axes,) = plot_heat(found).axes
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines if len(line.get_ydata()) > 2}
    assert list(drawn) == ["this network", "reference"]
    for name, values in drawn.items():
        expected = np.maximum(np.array(found.curves["residual"].lines[name], dtype=float), 1e-4)
        assert values == pytest.approx(expected, rel=1e-5)  # the page's data has six digits


def test_the_bars_of_the_limits_are_the_largest_shares():
    found = reported()
    (axes,) = plot_limits(found).axes
    shares = sorted((100 * row.values["heat_share"] for row in found.layers.rows), reverse=True)
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(shares, rel=1e-5)


def test_a_layer_that_nothing_gets_through_has_a_cross_and_no_dot():
    found = reported(density=0.0)
    (axes,) = plot_density(found).axes
    *_, crosses = axes.collections
    assert crosses.get_label() == "nothing gets through"
    assert len(crosses.get_offsets()) == len(SIZES) - 1
    assert crosses.get_edgecolor().tolist()[0] == pytest.approx(
        [int(COLOURS["dead"][k : k + 2], 16) / 255 for k in (1, 3, 5)] + [1.0]
    )


def test_of_many_layers_the_overview_shows_those_of_the_lowest_effective_density():
    found = reported(density=0.8, sizes=(6,) * 31)
    density = plot_report(found).axes[0]
    assert len(density.get_yticklabels()) == 24
    assert "the 24 lowest of 30 layers" in density.get_xlabel()
    (whole,) = plot_density(found).axes
    assert len(whole.get_yticklabels()) == 30


NASTY = "$\\frac{1}{ <b>\n\N{GREEK SMALL LETTER ALPHA}\u4e2d"


@pytest.mark.parametrize("plot", [plot_heat, plot_limits, plot_distance, plot_scree, plot_density, plot_report])
def test_every_plot_is_shown_whatever_the_network_is_called(plot):
    drawn = plot(reported(name=NASTY))
    assert isinstance(drawn, Plot)
    assert drawn._repr_png_().startswith(b"\x89PNG")


def test_a_name_of_thousands_of_letters_leaves_room_for_the_plots():
    assert plot_report(reported(name="x" * 10_000))._repr_png_().startswith(b"\x89PNG")
