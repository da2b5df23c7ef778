"""Malformed nodes are refused with an error when the session is made; malformed inputs when it runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sparse_node import Node, coded

from n2nsurgery.export.codec import bits

Change = Callable[[dict], None]


def good() -> dict:
    rng = np.random.default_rng(3)
    weight = np.where(rng.random((8, 6, 3, 3)) < 0.2, rng.standard_normal((8, 6, 3, 3)), 0).astype(np.float32)
    return {
        "op": "SparseConv",
        "attributes": {
            "weight_shape": [8, 6, 3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1,
        },
        "constants": {**coded(weight), "bias": np.zeros(8, np.float32)},
        "input_rank": 4,
    }  # fmt: skip


def constant(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def apply(node: dict) -> None:
        node["constants"][name] = change(node["constants"][name].copy())

    return apply


def attribute(name: str, value: object) -> Change:
    def apply(node: dict) -> None:
        node["attributes"][name] = value

    return apply


def put(index: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[index] = value
        return array

    return change


def as_bits(present: int, *, spoil: Callable[[np.ndarray], np.ndarray] = lambda mask: mask) -> Change:
    def apply(node: dict) -> None:
        node["op"] = "SparseConvBits"
        node["constants"]["places"] = spoil(bits.encode(np.arange(present), 8 * 6 * 9))
        node["constants"]["values"] = np.ones(40, np.float32)

    return apply


BAD_NODES: dict[str, tuple[Change, str]] = {
    "gap beyond the weight": (constant("places", lambda g: np.full_like(g, 255)), "leads to place"),
    "gap of zero": (constant("places", put(3, 0)), "two entries"),
    "gaps too short": (constant("places", lambda g: g[:-1]), "differ in length"),
    "values too short": (constant("values", lambda v: v[:-1]), "differ in length"),
    "value infinite": (constant("values", put(2, np.inf)), "not finite"),
    "value not a number": (constant("values", put(2, np.nan)), "not finite"),
    "bias infinite": (constant("bias", put(2, -np.inf)), "not finite"),
    "bias too short": (constant("bias", lambda b: b[:-1]), "bias"),
    "gaps of int32": (constant("places", lambda g: g.astype(np.int32)), "uint8 or uint16"),
    "gaps with two axes": (constant("places", lambda g: g[None]), "one dimension"),
    "values of float64": (constant("values", lambda v: v.astype(np.float64)), "float or float16"),
    "weight_shape with a zero": (attribute("weight_shape", [8, 0, 3, 3]), "weight_shape"),
    "weight_shape negative": (attribute("weight_shape", [8, 6, -3, 3]), "weight_shape"),
    "weight_shape huge": (attribute("weight_shape", [8, 2**29, 2**29, 2**29]), "kernel positions"),
    "weight_shape with two elements": (attribute("weight_shape", [8, 6]), "weight_shape"),
    "weight_shape with six elements": (attribute("weight_shape", [8, 6, 1, 1, 1, 1]), "weight_shape"),
    "weight_shape empty": (attribute("weight_shape", [0]), "weight_shape"),
    "stride of zero": (attribute("strides", [0, 1]), "strides"),
    "strides too short": (attribute("strides", [1]), "strides"),
    "pads too short": (attribute("pads", [1, 1]), "pads"),
    "pads negative": (attribute("pads", [-1, 1, 1, 1]), "pads"),
    "dilation of zero": (attribute("dilations", [1, 0]), "dilations"),
    "group of zero": (attribute("group", 0), "group"),
    "group that does not divide": (attribute("group", 3), "group"),
    "bitmask with too many bits": (as_bits(41), "more bits"),
    "bitmask with too few bits": (as_bits(39), "bits set for"),
    "bitmask too short": (as_bits(40, spoil=lambda mask: mask[:-1]), "bytes"),
}


@pytest.mark.parametrize("name", BAD_NODES)
def test_a_malformed_node_is_refused(make_session, name: str) -> None:
    change, words = BAD_NODES[name]
    node = good()
    change(node)
    with pytest.raises(Exception, match=words):
        make_session(Node(**node))


@pytest.mark.parametrize("shape", [(1, 5, 8, 8), (1, 6, 8), (1, 6, 0, 8)])
def test_an_input_that_does_not_fit_is_refused(make_session, shape: tuple[int, ...]) -> None:
    node = good()
    node["input_rank"] = len(shape)
    session = make_session(Node(**node))
    with pytest.raises(Exception, match=r"SparseConv.*X"):
        session.run(None, {"x": np.zeros(shape, np.float32)})


def test_an_input_smaller_than_the_kernel_is_refused(make_session) -> None:
    node = good()
    node["attributes"]["pads"] = [0, 0, 0, 0]
    session = make_session(Node(**node))
    with pytest.raises(Exception, match="smaller than the kernel"):
        session.run(None, {"x": np.zeros((1, 6, 2, 8), np.float32)})


def test_a_residual_of_another_shape_is_refused(make_session) -> None:
    node = good()
    node.update(op="SparseConvAdd", residual=True)
    session = make_session(Node(**node))
    with pytest.raises(Exception, match="residual"):
        session.run(None, {"x": np.zeros((1, 6, 8, 8), np.float32), "residual": np.zeros((1, 8, 8, 1), np.float32)})


@pytest.mark.parametrize("scale", [np.ones(3, np.float32), np.array([np.inf], np.float32)])
def test_a_malformed_scale_is_refused(make_session, scale: np.ndarray) -> None:
    node = good()
    node["op"] = "SparseConvInt8"
    constants = node["constants"]
    values = np.ones(constants["values"].size, np.int8)
    node["constants"] = {
        "places": constants["places"], "values": values, "scale": scale, "bias": constants["bias"],
    }  # fmt: skip
    with pytest.raises(Exception, match="scale"):
        make_session(Node(**node))


def test_an_unknown_instruction_set_is_refused(make_session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("N2NSURGERY_ISA", "mmx")
    with pytest.raises(Exception, match="mmx"):
        make_session(Node(**good()))
