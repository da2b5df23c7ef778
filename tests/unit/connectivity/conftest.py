"""Small graphs with a known answer."""

import numpy as np
import pytest
import scipy.sparse as sp

from n2nsurgery.connectivity import Block, ChannelGraph, NodeGroup, identity_block


@pytest.fixture
def residual_block():
    """Two inputs, a layer of three channels, and a layer of two to which the inputs are added.

    Nodes 0-1: input, 2-4: a, 5-6: b. Channel 3 of `a` is read by nobody, channel 4 reads nothing.
    """
    a = np.array([[1.0, 2.0], [0.0, 3.0], [0.0, 0.0]])
    b = np.array([[4.0, 0.0, 0.5], [0.0, 0.0, 0.25]])
    blocks = (
        Block(
            name="a", sources=np.arange(2), targets=np.arange(2, 5), weights=a, kept=2 * (a > 0).astype(int), size=12
        ),
        Block(
            name="b",
            sources=np.arange(2, 5),
            targets=np.arange(5, 7),
            weights=sp.csr_array(b),
            kept=sp.csr_array((b > 0).astype(int)),
            size=6,
        ),
        identity_block("b.add", np.arange(2), np.arange(5, 7)),
    )
    groups = tuple(NodeGroup(name=n, start=i, stop=j) for n, i, j in (("input", 0, 2), ("a", 2, 5), ("b", 5, 7)))
    return ChannelGraph(groups=groups, sources=np.arange(2), sinks=np.arange(5, 7), blocks=blocks)
