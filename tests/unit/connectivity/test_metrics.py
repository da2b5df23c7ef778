from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from n2nsurgery.connectivity import METRICS, Block, ChannelGraph, NodeGroup, Subject
from n2nsurgery.connectivity.measures.self_checks import require_bounded, require_sane
from n2nsurgery.connectivity.paths.reach import chain
from n2nsurgery.core.errors import InternalError, RunError, UsageError


def pruned(density, seed=0):
    rng = np.random.default_rng(seed)
    sizes = (3, 20, 30, 20, 5)
    return Subject(graph=chain([rng.random((sizes[i + 1], sizes[i])) < density for i in range(len(sizes) - 1)]))


DENSE = pruned(1.0)


def measure(name, subject, reference=DENSE, **options):
    return METRICS.get(name)(**options).measure(subject, reference)


def quantities(name, subject, reference=DENSE, **options):
    return {key: each.value for key, each in measure(name, subject, reference, **options).quantities.items()}


def test_the_distance_of_a_network_from_itself_is_0():
    found = quantities("heat-distance", DENSE)
    assert found["t_star"] > 0
    others = {key: value for key, value in found.items() if key != "t_star"}
    assert others == pytest.approx(dict.fromkeys(others, 0), abs=1e-15)  # heat of equal volume is scaled: roundings
    assert set(measure("heat-distance", DENSE).curves["F"].lines["F"]) == {0}


def test_the_distance_at_infinity_is_that_of_the_components():
    subject = pruned(0.02, seed=3)
    found = quantities("heat-distance", subject)
    assert subject.parts.count > 1
    expected = np.linalg.norm(DENSE.heat.saturated - subject.heat.saturated)
    assert found["F_inf"] == pytest.approx(expected, rel=1e-12)
    assert 0 < found["F_share"] <= 1
    assert found["F"] == pytest.approx(found["F_share"] * 6**0.5)
    assert found["F_giant"] <= found["F"]


def test_at_equal_volume_a_mere_rescaling_is_not_a_distance():
    halved = tuple(replace(block, weights=block.weights / 2) for block in DENSE.graph.blocks)
    graph = ChannelGraph(groups=DENSE.graph.groups, sources=DENSE.graph.sources, sinks=DENSE.graph.sinks, blocks=halved)
    found = quantities("heat-distance", Subject(graph=graph))
    assert found["F"] > 1e-3
    assert found["F_equal_volume"] < 1e-10  # two solves
    assert quantities("saturation", Subject(graph=graph))["t_sat_ratio"] == pytest.approx(2, rel=1e-7)


def test_networks_of_other_nodes_are_no_reference():
    for other in (chain([np.ones((4, 3))]), replace(DENSE.graph, sources=np.arange(2))):
        with pytest.raises(UsageError, match="give the dense form of the same network"):
            measure("heat-distance", Subject(graph=other))


def test_rates_are_eigenvalues():
    subject = pruned(0.3, seed=1)
    rates = np.linalg.eigvalsh(subject.operator.assembled().toarray())
    found = quantities("saturation", subject)
    assert subject.parts.count == 1
    assert found["lambda_2"] == pytest.approx(rates[1], rel=1e-8)
    assert found["lambda_2"] <= found["theta_1"] * (1 + 1e-8)
    assert found["lambda_2_residual"] <= 1e-4


def test_counts_of_a_residual_block(residual_block):
    subject = Subject(graph=residual_block)
    assert quantities("components", subject)["edges"] == 8
    assert measure("dead-channels", subject).columns["dead"].values == {"input": 0, "a": 2, "b": 0}
    found = measure("effective-density", subject)
    assert {key: each.value for key, each in found.quantities.items()} == {
        "direct": 9 / 18,
        "effective": 5 / 18,
        "wasted": 4,
    }
    assert found.columns["effective"].values == {"a": 4 / 12, "b": 1 / 6}


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_kept_weights_of_value_0_connect_and_conduct_no_heat(form):
    first = np.array([[1.0, 0, 0], [0, 1, 1]])
    head = np.array([[0.0, 0], [0, 0], [0, 2]])
    blocks = (
        Block(
            name="a", sources=np.arange(3), targets=np.arange(3, 5), weights=form(first), kept=form(first > 0), size=6
        ),
        Block(
            name="head",
            sources=np.arange(3, 5),
            targets=np.arange(5, 8),
            weights=form(head),
            kept=form(np.array([[1, 0], [0, 0], [1, 1]])),
            size=6,
        ),
    )
    groups = (NodeGroup(name="all", start=0, stop=8),)
    subject = Subject(graph=ChannelGraph(groups=groups, sources=np.arange(3), sinks=np.arange(5, 8), blocks=blocks))
    found = quantities("components", subject)
    assert (found["zero_edges"], found["components"], found["isolated"], found["giant"]) == (2, 2, 1, 7)
    assert (subject.parts.count, subject.parts.isolated) == (4, 2)  # of the heat graph


def test_scatter_of_full_layers_is_1():
    found = measure("scatter", DENSE)
    assert {each.value for each in found.quantities.values()} == {1}
    assert {value for column in found.columns.values() for value in column.values.values()} == {1}


def test_scree_curves_of_the_reference_lie_on_themselves():
    found = measure("scree", DENSE, exact_to=10)
    assert found.quantities["distance"].value == 0
    assert found.quantities["standard_error"].value > 0
    assert measure("scree", DENSE).quantities["standard_error"].value == 0
    whole, giant = (
        measure("scree", pruned(0.02, seed=3), giant=giant).curves["alpha"].lines["25 %"][-1] for giant in (False, True)
    )
    assert whole < giant  # which has one zero eigenvalue only


def with_a_shifted_vector(basis):
    chunk = basis.chunks[0].copy()
    chunk[1] += 1e-8  # below what the range of S could show
    return replace(basis, chunks=[chunk, *basis.chunks[1:]])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda heat: {"amplitude": heat.amplitude * 1.1}, r"S\(0\) must be A"),
        (lambda heat: {"modes": replace(heat.modes, basis=with_a_shifted_vector(heat.modes.basis))}, "from nowhere"),
        (lambda heat: {"saturated": heat.saturated - 0.5, "initial": heat.initial - 0.5}, r"must lie in \[0, 1\]"),
        (lambda heat: {"saturated": heat.saturated + 0.5, "initial": heat.initial + 0.5}, r"must lie in \[0, 1\]"),
    ],
)
def test_a_planted_fault_is_caught_by_the_self_checks(fault, message):
    require_sane(DENSE.heat)
    with pytest.raises(InternalError, match=message):
        require_sane(replace(DENSE.heat, **fault(DENSE.heat)))


def test_weights_too_far_apart_for_double_precision_are_no_bug():
    graph = pruned(0.4).graph
    weights = graph.blocks[0].weights.astype(float)
    weights[tuple(np.argwhere(weights)[0])] = 2.0**45
    grown = replace(graph, blocks=(replace(graph.blocks[0], weights=weights), *graph.blocks[1:]))
    with pytest.raises(RunError, match=r"too far apart for double precision.*--conductance binary"):
        _ = Subject(graph=grown).heat


def test_a_distance_beyond_its_bound_is_caught():
    require_bounded(np.array([0.0, 6**0.5]), 3)
    with pytest.raises(InternalError, match="exceeds its bound"):
        require_bounded(np.array([2.5]), 3)
