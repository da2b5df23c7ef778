"""What every metric promises, for all members of the registry."""

import dataclasses
import json
from itertools import pairwise
from math import isfinite

import numpy as np
import pytest
import scipy.sparse as sp

from n2nsurgery.connectivity import METRICS, Block, ChannelGraph, Measurement, NodeGroup, Subject, identity_block

every_metric = pytest.mark.parametrize("name", METRICS.names())
WIDTHS = (3, 8, 12, 8, 4)


def network(density, *, seed=0, sparse=False, silent=False):
    """Four layers of nine weights for each pair of channels, with a residual sum from the second to the fourth."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum([0, *WIDTHS])
    nodes = [np.arange(start, stop) for start, stop in pairwise(ends)]
    blocks = []
    for index in range(len(WIDTHS) - 1):
        shape = (WIDTHS[index + 1], WIDTHS[index], 9)
        keep = rng.random(shape) < density
        weights, kept = (np.abs(rng.standard_normal(shape)) * keep).sum(2) * (not silent), keep.sum(2)
        matrices = (sp.csr_array(weights), sp.csr_array(kept)) if sparse and not silent else (weights, kept)
        blocks.append(
            Block(
                name=f"conv{index}",
                sources=nodes[index],
                targets=nodes[index + 1],
                weights=matrices[0],
                kept=matrices[1],
                size=int(np.prod(shape)),
            )
        )
    blocks.append(identity_block("add", nodes[1], nodes[3]))
    blocks[-1:], blocks[-2:-1] = blocks[-2:-1], blocks[-1:]  # the sum is made before the last layer reads it
    groups = tuple(
        NodeGroup(name=group, start=int(each[0]), stop=int(each[-1]) + 1)
        for group, each in zip(["input", "conv0", "conv1", "conv2", "conv3"], nodes, strict=True)
    )
    return ChannelGraph(groups=groups, sources=nodes[0], sinks=nodes[-1], blocks=tuple(blocks))


DENSE = Subject(graph=network(1.0))
GRAPHS = {
    "pruned": network(0.1, seed=1),
    "pruned, sparse": network(0.1, seed=1, sparse=True),
    "nearly nothing left": network(0.005, seed=2),
    "nothing left": network(0.0),
    "all weights 0": network(0.5, silent=True),
    "the reference": DENSE.graph,
}


def every_number(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for each in value for number in every_number(each)]
    return [value] if isinstance(value, int | float) else []


@every_metric
@pytest.mark.parametrize("graph", GRAPHS)
def test_a_metric_measures_every_network_as_json(name, graph):
    measurement = METRICS.get(name)().measure(Subject(graph=GRAPHS[graph]), DENSE)
    assert isinstance(measurement, Measurement)
    text = json.dumps(measurement.to_json(), allow_nan=False)
    assert all(isfinite(number) for number in every_number(json.loads(text)))
    assert measurement.quantities or measurement.columns or measurement.curves


@every_metric
def test_every_number_has_a_unit_and_a_meaning(name):
    measurement = METRICS.get(name)().measure(Subject(graph=GRAPHS["pruned"]), DENSE)
    units = {"", "nodes", "edges", "components", "layers", "weights", "log10", "conductance", "1/conductance"}
    for each in (*measurement.quantities.values(), *measurement.columns.values()):
        assert each.unit in units
    for each in (*measurement.quantities.values(), *measurement.columns.values(), *measurement.curves.values()):
        assert each.meaning[0].isupper() or each.meaning.startswith(("F ", "|L x"))
    layers = {block.name for block in DENSE.graph.layers}
    groups = {group.name for group in DENSE.graph.groups}
    assert all(set(column.values) in (layers, groups) for column in measurement.columns.values())
    assert all(len(line) == len(curve.x) for curve in measurement.curves.values() for line in curve.lines.values())


@every_metric
def test_a_metric_is_a_frozen_value_with_its_formula_in_the_docstring(name):
    member = METRICS.get(name)
    assert member() == member()
    assert hash(member()) == hash(member())
    assert dataclasses.is_dataclass(member)
    assert isinstance(member.needs_reference, bool)
    text = __import__(member.__module__, fromlist=["MEMBER"]).__doc__
    assert text.startswith(f"Metric `{name}`")
    assert any(source in text for source in ("paper", "Vysogorets", "Hoang", "Tanaka", "sum over all paths"))


@every_metric
def test_the_same_network_is_measured_alike_whether_sparse_or_dense(name):
    measure = METRICS.get(name)().measure
    dense, sparse = (measure(Subject(graph=GRAPHS[graph]), DENSE) for graph in ("pruned", "pruned, sparse"))
    first, second = (every_number(each.to_json()) for each in (dense, sparse))
    # lambda_2's residual is rounding of rounding; everything else agrees to the solver's tolerance
    np.testing.assert_allclose(first, second, rtol=1e-8, atol=1e-9)


@every_metric
def test_a_metric_that_needs_no_reference_looks_at_none(name):
    if not METRICS.get(name).needs_reference:
        METRICS.get(name)().measure(Subject(graph=GRAPHS["pruned"]), None)


@every_metric
def test_measuring_twice_gives_the_same(name):
    first, second = (METRICS.get(name)().measure(Subject(graph=GRAPHS["pruned"]), DENSE) for _ in range(2))
    assert first == second
