from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import eigh
from scipy.sparse.linalg import expm_multiply

from n2nsurgery.connectivity import heat_signature, laplacian, saturated_signature, saturation_time, scree
from n2nsurgery.connectivity.heat.components import components
from n2nsurgery.connectivity.heat.heat_solver import TOLERANCE, solve_heat
from n2nsurgery.connectivity.heat.lanczos import lanczos
from n2nsurgery.connectivity.heat.laplacian import laplacian_of
from n2nsurgery.connectivity.heat.signature import indicator
from n2nsurgery.core.errors import RunError, UsageError

# Eight nodes, the last one isolated; heat starts in nodes 0 and 1.
EDGES = {
    (0, 2): 0.5, (0, 3): 1.25, (1, 3): 0.75, (2, 4): 2.0, (2, 5): 0.0625, (3, 4): 0.25, (3, 5): 1.5, (4, 6): 1.0,
    (5, 6): 0.125,
}  # fmt: skip
CUT = {(2, 5), (5, 6)}
TIMES = [0.0, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]
AT_1 = [
    0.4050164810968, 0.644413419536834, 0.153334904846882, 0.37544492303228, 0.11472380512129, 0.25314367411769,
    0.0539227922482236, 0.0,
]  # fmt: skip
AT_10 = [
    0.286985548813062, 0.291936839946895, 0.282312886326636, 0.288427529457091, 0.281677515458494, 0.288237100255528,
    0.280422579742293, 0.0,
]  # fmt: skip
DISTANCE = [0, 2.07791721921554e-06, 0.000125121841784417, 0.0161573157667602, 0.0167203305134219, 0, 0]


def symmetric(edges, nodes):
    upper = sp.coo_array((list(edges.values()), tuple(zip(*edges, strict=True))), shape=(nodes, nodes))
    return (upper + upper.T).tocsr()


EIGHT = symmetric(EDGES, 8)
EIGHT_PRUNED = symmetric({ends: value for ends, value in EDGES.items() if ends not in CUT}, 8)


def by_eigenvectors(adjacency, initial, times):
    dense = adjacency.toarray()
    rates, modes = eigh(np.diag(dense.sum(axis=0)) - dense)
    return np.exp(-np.outer(times, rates)) * (modes.T @ initial) @ modes.T


def layered(widths, density, seed):
    """Random layers one after the other, conductances between 0 and 1."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum([0, *widths])
    matrix = sp.lil_array((ends[-1], ends[-1]))
    for left, middle, right in zip(ends, ends[1:], ends[2:], strict=False):
        layer = rng.random((right - middle, middle - left)) * (rng.random((right - middle, middle - left)) < density)
        matrix[middle:right, left:middle] = layer
    return (matrix + matrix.T).tocsr()


def path(nodes):
    return sp.diags_array([np.ones(nodes - 1)] * 2, offsets=[-1, 1]).tocsr()


def test_eight_nodes_have_their_golden_signature():
    signature = heat_signature(EIGHT, [1.0, 1, 0, 0, 0, 0, 0, 0], TIMES)
    # the golden numbers have 15 digits
    np.testing.assert_allclose(signature[3], AT_1, rtol=0, atol=1e-14)
    np.testing.assert_allclose(signature[4], AT_10, rtol=0, atol=1e-14)
    np.testing.assert_allclose(signature[5], [2 / 7] * 7 + [0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(saturated_signature(EIGHT, [0, 1]), [2 / 7] * 7 + [0], rtol=0, atol=1e-15)


def test_eight_nodes_have_their_golden_distance_after_pruning():
    apart = heat_signature(EIGHT, [0, 1], TIMES) - heat_signature(EIGHT_PRUNED, [0, 1], TIMES)
    np.testing.assert_allclose(np.linalg.norm(apart, axis=1), DISTANCE, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dropped", sorted(EDGES))
def test_a_dropped_edge_shows(dropped):
    damaged = symmetric({ends: value for ends, value in EDGES.items() if ends != dropped}, 8)
    assert np.abs(heat_signature(damaged, [0, 1], [1.0])[0] - AT_1).max() > 1e-5


def complete(nodes, weight):
    return sp.csr_array(weight * (np.ones((nodes, nodes)) - np.eye(nodes)))


def bipartite(left, right, weight):
    side = np.arange(left + right) < left
    return sp.csr_array(weight * (side[:, None] != side[None, :]))


T = np.array([0.0, 0.03, 0.4, 2.0, 50.0])[:, None]
W = 0.7
CLOSED_FORMS = {
    "two nodes": (complete(2, W), [1, 0], (1 + np.exp(-2 * W * T) * [1, -1]) / 2),
    "star": (
        bipartite(1, 5, W),
        [0],
        np.hstack([1 / 6 + 5 / 6 * np.exp(-6 * W * T), np.repeat((1 - np.exp(-6 * W * T)) / 6, 5, axis=1)]),
    ),
    "complete": (
        complete(9, W),
        [0],
        np.hstack([1 / 9 + 8 / 9 * np.exp(-9 * W * T), np.repeat((1 - np.exp(-9 * W * T)) / 9, 8, axis=1)]),
    ),
    "complete bipartite": (
        bipartite(3, 4, W),
        [0, 1, 2],
        np.hstack(
            [
                np.repeat(3 / 7 + 4 / 7 * np.exp(-7 * W * T), 3, axis=1),
                np.repeat(3 / 7 * (1 - np.exp(-7 * W * T)), 4, axis=1),
            ]
        ),
    ),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_forms(name):
    adjacency, sources, expected = CLOSED_FORMS[name]
    # a few roundings
    np.testing.assert_allclose(heat_signature(adjacency, sources, T.ravel()), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("density", [1.0, 0.2, 0.03])
def test_the_signature_is_that_of_a_dense_eigensolve(density):
    adjacency = layered([3, 200, 250, 150, 100], density, 1)
    initial = indicator([0, 1, 2], adjacency.shape[0])
    heat = solve_heat(laplacian_of(adjacency), initial)
    times = heat.time_grid(25, 1e-10)
    # the promise is TOLERANCE; the eigensolve itself is good to about 1e-12
    np.testing.assert_allclose(heat.at(times), by_eigenvectors(adjacency, initial, times), rtol=0, atol=1e-10)
    assert heat.error_bound <= TOLERANCE


def test_the_bound_is_not_a_smaller_than_the_error():
    adjacency = layered([3, 80, 90, 70], 0.1, 2)
    initial = indicator([0, 1, 2], adjacency.shape[0])
    for tolerance in (1e-2, 1e-4, 1e-6, 1e-8):
        heat = solve_heat(laplacian_of(adjacency), initial, tolerance=tolerance)
        times = heat.time_grid(40, 1e-8)
        error = np.linalg.norm(heat.at(times) - by_eigenvectors(adjacency, initial, times), axis=1).max()
        assert error <= heat.error_bound + 1e-12  # of the eigensolve
        assert heat.error_bound <= tolerance


def test_a_large_graph_agrees_with_an_independent_method():
    adjacency = layered([3, 3000, 3000, 2000], 0.002, 3)
    initial = indicator([0, 1, 2], adjacency.shape[0])
    expected = expm_multiply(-(sp.diags_array(adjacency.sum(axis=0)) - adjacency).tocsc(), initial)
    # expm_multiply works to single roundings, 1e-16 times the norm of L
    np.testing.assert_allclose(heat_signature(adjacency, [0, 1, 2], [1.0])[0], expected, rtol=0, atol=1e-10)


def path_by_cosines(nodes, times):
    """exp(-t L) e_0 of a path: its modes are cosines."""
    k = np.arange(nodes)
    modes = np.cos(np.pi * np.outer(k + 0.5, k) / nodes) * np.sqrt(2 / nodes)
    modes[:, 0] /= np.sqrt(2)
    return np.exp(-np.outer(times, 2 - 2 * np.cos(np.pi * k / nodes))) * modes[0] @ modes.T


@pytest.mark.parametrize(
    ("nodes", "way"), [(400, "plain"), (1400, "inverse"), (6000, "inverse"), (700, "reorthogonalised")]
)
def test_a_hard_spectrum_is_solved_to_the_same_accuracy(nodes, way, monkeypatch):
    if way == "reorthogonalised":
        monkeypatch.setattr("n2nsurgery.connectivity.heat.heat_solver.factorable", lambda _: False)
    heat = solve_heat(laplacian_of(path(nodes)), indicator([0], nodes))
    found = "inverse" if heat.slow_modes else "plain" if heat.modes.basis.steps <= 600 else "reorthogonalised"
    assert found == way
    times = np.concatenate([[0], np.geomspace(0.1, 3 * nodes**2, 30)])
    np.testing.assert_allclose(heat.at(times), path_by_cosines(nodes, times), rtol=0, atol=1e-11)
    # a Ritz value is good to 1e-16 |L|, here 4e-16, of 5e-6
    assert heat.theta_1 == pytest.approx(2 - 2 * np.cos(np.pi / nodes), rel=1e-8)


def test_what_cannot_be_reached_is_refused(monkeypatch):
    monkeypatch.setattr("n2nsurgery.connectivity.heat.heat_solver.MEMORY", 8 * 500 * 20)
    monkeypatch.setattr("n2nsurgery.connectivity.heat.heat_solver.PLAIN_STEPS", 20)
    monkeypatch.setattr("n2nsurgery.connectivity.heat.heat_solver.factorable", lambda _: False)
    with pytest.raises(RunError, match="ask for a larger tolerance or for shorter times"):
        solve_heat(laplacian_of(path(500)), indicator([0], 500))


def test_short_times_take_fewer_steps():
    operator, initial = laplacian_of(path(500)), indicator([0], 500)
    short = solve_heat(operator, initial, until=1.0)
    assert short.modes.basis.steps < 60
    np.testing.assert_allclose(short.at(np.array([1.0])), path_by_cosines(500, [1.0]), rtol=0, atol=1e-11)


def test_without_the_projection_the_smallest_rate_is_garbage():
    """What the projection of every vector is for: the planted fault leaves the null space in."""
    adjacency = layered([3, 60, 60, 60], 0.3, 4)
    operator = laplacian_of(adjacency)
    parts = components(operator)
    start = indicator([0, 1, 2], 183)
    start -= parts.means(start)
    with_it, without = (
        lanczos(operator, start, project=project, stop=lambda _: False, most=120).ritz()[0][0]
        for project in (parts.means, np.zeros_like)
    )
    truth = np.linalg.eigvalsh(operator.assembled().toarray())[1]
    assert with_it == pytest.approx(truth, rel=1e-10)  # both are good to about 1e-15 |L| = 1e-14
    assert abs(without) < truth / 1e5


def test_saturation_times_of_two_nodes():
    # the residual is exp(-2 w t)
    for residual in (0.5, 1e-3, 1e-9):
        assert saturation_time(complete(2, W), [0], residual) == pytest.approx(-np.log(residual) / (2 * W), rel=1e-10)


def test_saturation_times_are_where_the_signature_says():
    adjacency = layered([3, 60, 60, 60], 0.3, 4)
    time = saturation_time(adjacency, [0, 1, 2], 1e-3)
    saturated = saturated_signature(adjacency, [0, 1, 2])
    start, there = np.linalg.norm(heat_signature(adjacency, [0, 1, 2], [0, time]) - saturated, axis=1)
    assert there / start == pytest.approx(1e-3, rel=1e-7)  # the signature's 1e-11 against 1e-3


def test_sources_that_fill_their_component_are_saturated_from_the_start():
    heat = solve_heat(laplacian_of(complete(4, 1.0)), np.ones(4))
    assert (heat.saturation_time(1e-3), heat.theta_1) == (0.0, np.inf)
    np.testing.assert_array_equal(heat.at(np.array([0.0, 1.0, np.inf])), np.ones((3, 4)))


def test_a_graph_without_edges_keeps_its_heat():
    empty = sp.csr_array((3, 3))
    np.testing.assert_array_equal(heat_signature(empty, [1], [0, 5, np.inf]), [[0, 1, 0]] * 3)
    assert saturation_time(empty, [1]) == 0


def test_infinite_times_are_exact():
    np.testing.assert_array_equal(heat_signature(EIGHT, [0, 1], [np.inf])[0], saturated_signature(EIGHT, [0, 1]))


@pytest.mark.parametrize(
    ("adjacency", "message"),
    [
        (np.eye(3), "is a ndarray; give a scipy.sparse matrix"),
        (sp.csr_array((2, 3)), r"has shape \(2, 3\)"),
        (sp.csr_array(np.array([[0, 1.0], [0.5, 0]])), "is not symmetric"),
        (sp.csr_array(np.array([[0, -1.0], [-1.0, 0]])), r"smallest weight is -1"),
        (sp.csr_array(np.array([[0, np.nan], [np.nan, 0]])), "2 weights are NaN or infinite"),
        (sp.csr_array(np.array([[0, np.inf], [np.inf, 0]])), "2 weights are NaN or infinite"),
    ],
)
def test_no_adjacency_at_all_is_refused(adjacency, message):
    for measure in (
        lambda: heat_signature(adjacency, [0], [1.0]),
        lambda: saturated_signature(adjacency, [0]),
        lambda: saturation_time(adjacency, [0]),
        lambda: scree(adjacency, 10, [1.0]),
    ):
        with pytest.raises(UsageError, match=message):
            measure()


@pytest.mark.parametrize(
    ("sources", "times", "message"),
    [
        ([], [1], "at least one"),
        ([8], [1], r"\[0, 7\]"),
        ([-1], [1], r"\[0, 7\]"),
        ([0.5], [1], "node numbers"),
        ([0] * 8, [1, -1], "numbers >= 0"),
        ([0], [np.nan], "numbers >= 0"),
    ],
)
def test_sources_and_times_out_of_range_are_refused(sources, times, message):
    with pytest.raises(UsageError, match=message):
        heat_signature(EIGHT, sources, times)


def test_sources_may_be_numbers_or_the_vector_itself():
    expected = heat_signature(EIGHT, [0, 1], [1.0])
    for same in ([True, True] + [False] * 6, np.array([1.0, 1] + [0] * 6), (1, 0), np.array([1, 1, 0, 0, 0, 0, 0, 0])):
        np.testing.assert_array_equal(heat_signature(EIGHT, same, [1.0]), expected)


def test_self_loops_carry_no_heat():
    looped = (EIGHT + sp.eye_array(8)).tocsr()
    np.testing.assert_array_equal(heat_signature(looped, [0, 1], [1.0]), heat_signature(EIGHT, [0, 1], [1.0]))


@pytest.mark.parametrize("thread", [1e-3, 1e-8, 1e-12, 1e-16, 1e-30, 1e-300])
def test_a_node_that_hangs_on_a_thread_is_not_a_trouble(thread):
    """As weight decay leaves them; the closed form is that of one node filling from a large reservoir."""
    body = complete(50, 1.0).toarray()
    adjacency = np.pad(body, (0, 1))
    adjacency[50, 1] = adjacency[1, 50] = thread
    heat = solve_heat(laplacian_of(sp.csr_array(adjacency)), indicator([0], 51))
    if thread < 1e-14 * 50:
        assert heat.parts.count == 2
        assert heat.theta_1 == pytest.approx(50)
    else:
        # thread * 51 / 50 up to terms of order thread, and 1e-15 |L| of rounding
        assert heat.theta_1 == pytest.approx(thread * 51 / 50, rel=thread + 1e-13 / thread)
    # the body is settled at t = 10, the node is not
    assert heat.at(np.array([10.0]))[0, 50] == pytest.approx(10 * thread / 50, rel=2e-2, abs=TOLERANCE)


def test_the_edges_left_out_are_counted(residual_block):
    assert laplacian(residual_block).negligible_edges == 0
    blocks = list(residual_block.blocks)
    blocks[0] = replace(blocks[0], weights=blocks[0].weights * 1e-20)
    thin = laplacian(replace(residual_block, blocks=tuple(blocks)))
    assert thin.negligible_edges == 3
    assert components(thin).sizes.tolist() == [6, 1]  # channel 3 has no other edge
