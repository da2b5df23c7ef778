"""One session, many threads: answers do not mix."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sparse_node import Node, coded


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
def test_concurrent_runs_of_one_session_give_the_same_as_single_ones(make_session, kernel: int, threads: int) -> None:
    rng = np.random.default_rng(5)
    shape = (64, 96, kernel, kernel)
    weight = np.where(rng.random(shape) < 0.05, rng.standard_normal(shape), 0).astype(np.float32)
    node = Node(
        op="SparseConvRelu",
        attributes={"weight_shape": list(shape), "pads": [kernel // 2] * 4},
        constants={**coded(weight), "bias": rng.standard_normal(64).astype(np.float32)},
        input_rank=4,
    )
    sizes = [7, 14, 20, 28, 9, 33]  # more than a kernel remembers
    inputs = [rng.standard_normal((1 + i % 2, 96, size, size)).astype(np.float32) for i, size in enumerate(sizes)]
    alone = make_session(node, 1)
    expected = [alone.run(None, {"x": x})[0] for x in inputs]
    shared = make_session(node, threads)

    def work(seed: int) -> bool:
        order = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(inputs)), 6))
        return all(np.array_equal(shared.run(None, {"x": inputs[i]})[0], expected[i]) for i in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
