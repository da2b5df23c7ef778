from dataclasses import replace

import numpy as np
import pytest

from n2nsurgery.connectivity import METRICS, ChannelGraph, Subject
from n2nsurgery.connectivity.heat.bottleneck_shares import SETTLED, bottleneck_shares
from n2nsurgery.connectivity.paths.reach import chain


def weighted(strengths, *, density=1.0, seed=0, width=12):
    """Layers one after the other, each edge of the layer's strength, up to a random factor."""
    rng = np.random.default_rng(seed)
    graph = chain([rng.random((width, width)) < density for _ in strengths])
    return stronger(graph, [each * rng.uniform(0.5, 1.5, (width, width)) for each in strengths])


def stronger(graph, factors):
    blocks = tuple(replace(b, weights=b.weights * f) for b, f in zip(graph.blocks, factors, strict=True))
    return ChannelGraph(groups=graph.groups, sources=graph.sources, sinks=graph.sinks, blocks=blocks)


def settling_time(graph):
    return Subject(graph=graph).heat.saturation_time(SETTLED)


@pytest.mark.parametrize("density", [1.0, 0.3, 0.08])
def test_a_share_is_the_change_of_the_settling_time(density):
    graph = weighted([1.0, 0.5, 2.0], density=density, seed=3)
    shares, time, step = Subject(graph=graph).limits.shares, settling_time(graph), 1e-4
    for index, share in enumerate(shares):
        times = [
            settling_time(stronger(graph, [1 + sign * step * (k == index) for k in range(len(shares))]))
            for sign in (1, -1)
        ]
        # the central difference errs by the square of the step, and by the solver's 1e-11 over the step
        assert -(times[0] - times[1]) / (2 * step * time) == pytest.approx(share, abs=1e-5)


@pytest.mark.parametrize("density", [1.0, 0.3, 0.02])
def test_the_shares_add_up_to_1_and_the_quadrature_knows_its_error(density):
    graph = weighted([1.0, 1e-3, 10.0, 1.0], density=density)
    limits = Subject(graph=graph).limits
    assert sum(limits.shares) == pytest.approx(1, abs=1e-12)  # they are scaled to it
    assert limits.total == pytest.approx(1, abs=1e-9)  # and were so close to it before, by the quadrature alone
    assert sum(limits.waiting) == pytest.approx(1, abs=1e-12)


def test_a_quadrature_with_too_few_points_would_show(monkeypatch):
    monkeypatch.setattr("n2nsurgery.connectivity.heat.bottleneck_shares.POINTS", 4)
    assert abs(Subject(graph=weighted([1.0, 1e-3, 10.0])).limits.total - 1) > 1e-3


@pytest.mark.parametrize("planted", [0, 1, 2, 3])
def test_a_planted_bottleneck_is_found(planted):
    strengths = [1.0] * 4
    strengths[planted] = 0.01
    limits = Subject(graph=weighted(strengths)).limits
    assert int(np.argmax(limits.shares)) == planted
    assert limits.shares[planted] > 0.9


def test_a_straggler_is_named_as_one():
    mask = np.ones((6, 6), dtype=bool)
    last = mask.copy()
    last[0] = np.arange(6) == 0  # one output hangs by a single edge
    graph = chain([mask, mask, last])
    graph = stronger(graph, [1, 1, np.where(np.arange(6)[:, None] == 0, 0.01, 1.0)])
    limits = Subject(graph=graph).limits
    assert limits.stragglers == pytest.approx(1, abs=0.1)
    assert limits.shares[2] > 0.9


def test_where_no_heat_flows_nothing_limits_it():
    graph = chain([np.zeros((3, 3), dtype=bool)])
    assert bottleneck_shares(graph, Subject(graph=graph).heat, 0.0).shares == ()
    found = METRICS.get("heat-limit")().measure(Subject(graph=graph), None)
    assert found.quantities["largest_share"].value is None
    assert set(found.columns["heat_share"].values.values()) == {None}
