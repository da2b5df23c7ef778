import json
from dataclasses import replace

import numpy as np
import pytest

from n2nsurgery.connectivity import Origin, Subject
from n2nsurgery.connectivity.paths.reach import chain
from n2nsurgery.connectivity.report.difference import difference

A, B = Origin(name="a"), Origin(name="b")


def network(*masks):
    return Subject(graph=chain([np.array(mask, dtype=bool) for mask in masks]))


def compare(a, b):
    return difference(replace(a, origin=A), replace(b, origin=B))


def test_a_network_does_not_differ_from_itself():
    rng = np.random.default_rng(0)
    one = network(rng.random((6, 4)) < 0.6, rng.random((3, 6)) < 0.6)
    found = compare(one, one)
    assert [layer.overlap for layer in found.layers] == [1, 1]
    assert found.distance["F"].value == 0
    assert all(a == b for a, b in found.totals.values())


def test_the_overlap_is_that_of_the_masks():
    found = compare(network([[1, 1, 0], [0, 0, 1]]), network([[1, 0, 0], [0, 1, 1]])).layers[0]
    assert found.overlap == pytest.approx(2 / 4)
    assert found.by_chance == pytest.approx(0.25 / 0.75)
    assert (found.a["kept"], found.b["kept"]) == (3, 3)


def test_dead_channels_and_effective_density_are_compared():
    found = compare(network([[1], [0]], [[1, 1]]), network([[1], [1]], [[1, 1]]))
    assert (found.layers[0].a["dead"], found.layers[0].b["dead"]) == (1, 0)
    assert found.layers[1].a["effective"] == 0.5
    assert found.totals["dead"][0].value == 1


def test_networks_of_other_shapes_have_no_overlap_and_no_f():
    found = compare(network(np.ones((2, 3))), network(np.ones((4, 3)), np.ones((1, 4))))
    assert [layer.overlap for layer in found.layers] == [None, None]
    assert found.layers[1].a is None
    assert found.distance == {}
    assert "A has 5 channels and 3 inputs, B 8 and 3" in found.incomparable
    json.dumps(found.to_json(), allow_nan=False)


def test_what_is_shown_of_a_difference_is_short():
    found = difference(
        replace(network([[1], [0]], [[1, 1]]), origin=Origin(name="<a>")),
        replace(network([[1], [1]], [[1, 1]]), origin=B),
    )
    f = f"F = {found.distance['F'].value:.3g}"
    assert repr(found) == f"ConnectivityDifference(<a> against b, 2 layers, {f})"
    table = found._repr_html_()
    assert "<tr><th>networks</th><td>&lt;a&gt; against b</td></tr>" in table
    assert "<tr><th>kept</th><td>3 against 4 weights</td></tr>" in table
    assert f"<tr><th>heat</th><td>{f}</td></tr></table>" in table
    apart = compare(network(np.ones((2, 3))), network(np.ones((4, 3)), np.ones((1, 4))))
    assert "no F: A has 5 channels" in repr(apart)


def test_two_empty_layers_have_no_overlap():
    found = compare(network(np.zeros((2, 3))), network(np.zeros((2, 3))))
    assert found.layers[0].overlap is None
    json.dumps(found.to_json(), allow_nan=False)
