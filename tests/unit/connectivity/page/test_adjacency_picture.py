import base64
import struct
import zlib

import numpy as np
import pytest
import scipy.sparse as sp

from n2nsurgery.connectivity import Block, ChannelGraph, NodeGroup
from n2nsurgery.connectivity.page.adjacency_picture import SHADES, adjacency_picture
from n2nsurgery.connectivity.page.png import data_url


def decoded(url):
    """The indices of a PNG of ours, each chunk's checksum checked."""
    content = base64.b64decode(url.removeprefix("data:image/png;base64,"), validate=True)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + size]
        assert struct.unpack(">I", content[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour, len(chunks[b"PLTE"])) == (8, 3, 3 * len(chunks[b"tRNS"]))
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:]


def test_a_picture_survives_the_journey():
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(decoded(data_url(indices, [(i, i, i, 255 - i) for i in range(12)])), indices)


def test_every_edge_is_a_pixel_and_its_mirror_image(residual_block):
    picture = adjacency_picture(residual_block, {})
    shown = decoded(picture.image) > 0
    assert picture.pixels == picture.nodes == 7
    np.testing.assert_array_equal(shown, shown.T)
    np.testing.assert_array_equal(shown, residual_block.adjacency().toarray() > 0)


def test_colours_tell_layers_skips_and_identity_edges_apart(residual_block):
    kinds = decoded(adjacency_picture(residual_block, {"b": "n2n"}).image)
    kinds = np.where(kinds > 0, (kinds.astype(int) - 1) // SHADES, -1)
    assert kinds[2, 0] == 0
    assert kinds[5, 2] == 1
    assert kinds[5, 0] == 2


def test_cells_count_the_edges_between_groups(residual_block):
    cells = {(c.source, c.target): (c.edges, c.kind) for c in adjacency_picture(residual_block, {}).cells}
    assert cells == {(0, 1): (3, "layer"), (1, 2): (3, "layer"), (0, 2): (2, "identity")}


@pytest.mark.parametrize("sparse", [False, True])
def test_squeezing_keeps_the_density(sparse):
    rng = np.random.default_rng(0)
    mask = rng.random((60, 40)) < 0.3
    kept = sp.csr_array(mask.astype(int)) if sparse else mask.astype(int)
    order = rng.permutation(60)  # targets in no order
    block = Block(name="a", sources=np.arange(40), targets=40 + order, weights=kept * 1.0, kept=kept, size=mask.size)
    groups = (NodeGroup(name="input", start=0, stop=40), NodeGroup(name="a", start=40, stop=100))
    graph = ChannelGraph(groups=groups, sources=np.arange(40), sinks=np.arange(40, 100), blocks=(block,))
    shades = decoded(adjacency_picture(graph, {}, most=20).image).astype(float)
    counts = (graph.adjacency().toarray() > 0).reshape(20, 5, 20, 5).sum((1, 3)) / 25
    expected = np.ceil(np.sqrt(np.clip(counts / np.percentile(counts[counts > 0], 99), 0, 1)) * SHADES)
    # sums in single precision may fall on the other side of a shade's edge
    assert np.abs(shades - expected).max() <= 1


def test_a_network_without_edges_is_a_blank_picture():
    empty = np.zeros((2, 2), dtype=int)
    block = Block(name="a", sources=np.arange(2), targets=np.arange(2, 4), weights=empty * 1.0, kept=empty, size=4)
    groups = (NodeGroup(name="input", start=0, stop=2), NodeGroup(name="a", start=2, stop=4))
    graph = ChannelGraph(groups=groups, sources=np.arange(2), sinks=np.arange(2, 4), blocks=(block,))
    assert not decoded(adjacency_picture(graph, {}).image).any()
