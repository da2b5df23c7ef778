from itertools import product

import numpy as np
import pytest

from n2nsurgery.connectivity import METRICS, Subject
from n2nsurgery.connectivity.paths.path_shares import path_shares
from n2nsurgery.connectivity.paths.reach import chain


def test_shares_of_a_residual_block(residual_block):
    # a leads 2 + 2 ways into channel 2 and 2 into channel 3, b reads 1 of each, kept once; 2 identity edges
    # paths through a and b: channel 2 has 4 ways in and 1 on, channel 3 none on; channel 4 none in
    through_b, around = 4, 2
    assert path_shares(residual_block) == pytest.approx(
        (through_b / (through_b + around), through_b / (through_b + around), around / (through_b + around))
    )


def test_every_path_crosses_every_layer_of_a_chain():
    graph = chain([np.ones((4, 3), dtype=bool), np.ones((5, 4), dtype=bool)])
    assert path_shares(graph) == pytest.approx((1, 1))
    assert METRICS.get("path-share")().measure(Subject(graph=graph), None).quantities["crossed"].value == 2


def test_more_paths_than_a_float_holds():
    wide = np.ones((100, 100), dtype=bool)
    assert path_shares(chain([wide] * 200)) == pytest.approx([1.0] * 200)  # 1e402 paths


def test_a_severed_network_has_no_shares():
    graph = chain([np.ones((3, 3), dtype=bool), np.zeros((3, 3), dtype=bool)])
    assert path_shares(graph) == (0.0, 0.0)


def test_shares_are_those_of_all_paths_one_by_one():
    rng = np.random.default_rng(5)
    masks = [rng.random((4, 4)) < 0.5 for _ in range(3)]
    paths = [
        nodes
        for nodes in product(range(4), repeat=4)
        if all(mask[nodes[i + 1], nodes[i]] for i, mask in enumerate(masks))
    ]
    graph = chain(masks)
    assert len(paths) > 0
    assert path_shares(graph) == pytest.approx((1, 1, 1))
    assert Subject(graph=graph).reach.alive.sum() == sum(len({nodes[layer] for nodes in paths}) for layer in range(4))
