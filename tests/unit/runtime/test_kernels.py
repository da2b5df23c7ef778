"""The kernels against a float64 reference, over random shapes, for every instruction set of this machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import sparse_reference as reference
from numpy.typing import NDArray
from sparse_node import Node, coded

from n2nsurgery.export.codec.choose import Code

CASES_PER_RANK = 80
CASES_PER_VARIANT = 40
CODES: tuple[Code, ...] = ("gaps8", "gaps16", "bits")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A random convolution: its shapes and its density."""

    batch: int
    group: int
    inputs: int
    outputs: int
    spatial: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    density: float
    block4: bool


def random_case(rng: np.random.Generator, rank: int) -> Case:
    kernel = tuple(int(k) for k in rng.choice([1, 1, 2, 3, 3, 5], rank))
    if rng.random() < 0.3:
        kernel = (1,) * rank
    dilations = tuple(int(d) for d in rng.choice([1, 1, 1, 2, 3], rank))
    strides = tuple(int(s) for s in rng.choice([1, 1, 1, 2, 2, 3], rank))
    pads = tuple(int(p) for p in rng.choice([0, 0, 1, 1, 2, 4], 2 * rank))
    if rng.random() < 0.4:
        strides, dilations = (1,) * rank, (1,) * rank
        pads = tuple((k - 1) // 2 for k in kernel) * 2
    largest = {1: 700, 2: 40, 3: 12}[rank]
    spatial = tuple(
        max(int(rng.integers(1, largest)), (k - 1) * d + 1 - pads[i] - pads[i + rank])
        for i, (k, d) in enumerate(zip(kernel, dilations, strict=True))
    )
    group = int(rng.choice([1, 1, 1, 2, 3]))
    return Case(
        batch=int(rng.integers(1, 4)),
        group=group,
        inputs=group * int(rng.integers(1, 40)),
        outputs=group * int(rng.integers(1, 24)),
        spatial=spatial,
        kernel=kernel,
        strides=strides,
        pads=pads,
        dilations=dilations,
        density=float(rng.choice([0.0, 0.02, 0.1, 0.3, 0.6, 1.0])),
        block4=bool(rng.random() < 0.35),
    )


def random_weight(rng: np.random.Generator, shape: tuple[int, ...], density: float, *, block4: bool) -> NDArray:
    present = rng.random(shape) < density
    if block4:
        for first in range(0, shape[0] - 3, 4):
            present[first + 1 : first + 4] = present[first]
    weight = rng.standard_normal(shape).astype(np.float32)
    return np.where(present, weight, np.float32(0))


def conv_node(case: Case, weight: NDArray, bias: NDArray, *, variant: str = "", code: Code = "gaps8") -> Node:
    return Node(
        op="SparseConv" + variant + ("Bits" if code == "bits" else ""),
        attributes={
            "weight_shape": list(weight.shape),
            "strides": list(case.strides),
            "pads": list(case.pads),
            "dilations": list(case.dilations),
            "group": case.group,
        },
        constants={**coded(weight, code), "bias": bias},
        input_rank=2 + len(case.spatial),
        residual="Add" in variant,
    )


def assert_close(actual: NDArray, expected: NDArray, what: object) -> None:
    # float32 sums of up to a few hundred products of standard normals
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    assert actual.shape == expected.shape, what
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5 * scale, err_msg=str(what))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions_of_random_shapes_agree_with_the_reference(make_session, rank: int) -> None:
    rng = np.random.default_rng([7, rank])
    for _ in range(CASES_PER_RANK):
        case = random_case(rng, rank)
        shape = (case.outputs, case.inputs // case.group, *case.kernel)
        weight = random_weight(rng, shape, case.density, block4=case.block4)
        bias = rng.standard_normal(case.outputs).astype(np.float32)
        x = rng.standard_normal((case.batch, case.inputs, *case.spatial)).astype(np.float32)
        variant = str(rng.choice(["", "Relu", "Add", "AddRelu"]))
        code = CODES[int(rng.integers(3))]
        expected = reference.conv(x, weight, bias, case.strides, case.pads, case.dilations, case.group)
        feeds = {"x": x}
        if "Add" in variant:
            feeds["residual"] = rng.standard_normal(expected.shape).astype(np.float32)
            expected = expected + feeds["residual"]
        if "Relu" in variant:
            expected = np.maximum(expected, 0)
        session = make_session(conv_node(case, weight, bias, variant=variant, code=code))
        assert_close(session.run(None, feeds)[0], expected, (case, variant, code))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(
    ("spatial", "kernel", "stride"),
    [
        (56, 1, 1),
        (14, 1, 1),
        (7, 1, 1),
        (1, 1, 1),
        (28, 1, 2),
        (56, 3, 1),
        (28, 3, 1),
        (14, 3, 1),
        (7, 3, 1),
        (28, 3, 2),
        (60, 7, 2),
    ],
)
@pytest.mark.parametrize("block4", [False, True])
def test_layers_of_real_networks_agree_with_the_reference(
    make_session, spatial: int, kernel: int, stride: int, *, block4: bool
) -> None:
    rng = np.random.default_rng([11, spatial, kernel, stride])
    pad = kernel // 2
    case = Case(
        batch=2, group=1, inputs=192, outputs=72, spatial=(spatial, spatial), kernel=(kernel, kernel),
        strides=(stride, stride), pads=(pad,) * 4, dilations=(1, 1), density=0.04, block4=block4,
    )  # fmt: skip
    weight = random_weight(rng, (72, 192, kernel, kernel), case.density, block4=block4)
    bias = rng.standard_normal(72).astype(np.float32)
    x = rng.standard_normal((2, 192, spatial, spatial)).astype(np.float32)
    expected = reference.conv(x, weight, bias, case.strides, case.pads, case.dilations, 1)
    residual = rng.standard_normal(expected.shape).astype(np.float32)
    node = conv_node(case, weight, bias, variant="AddRelu")
    for threads in (1, 2):
        session = make_session(node, threads)
        for _ in range(6 if threads > 1 else 1):  # the first runs learn the number of threads
            actual = session.run(None, {"x": x, "residual": residual})[0]
            assert_close(actual, np.maximum(expected + residual, 0), (case, threads))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("variant", ["", "Relu", "Add", "AddRelu"])
def test_matrix_products_of_random_shapes_agree_with_the_reference(make_session, variant: str) -> None:
    rng = np.random.default_rng([13, len(variant)])
    for _ in range(CASES_PER_VARIANT):
        outputs, inputs = int(rng.integers(1, 80)), int(rng.integers(1, 300))
        leading = [(1,), (2,), (3,), (17,), (300,), (2, 5), (3, 2, 19), (0,)][int(rng.integers(8))]
        density = float(rng.choice([0.0, 0.05, 0.3, 1.0]))
        weight = random_weight(rng, (outputs, inputs), density, block4=bool(rng.random() < 0.5))
        bias = rng.standard_normal(outputs).astype(np.float32)
        x = rng.standard_normal((*leading, inputs)).astype(np.float32)
        node = Node(
            op="SparseGemm" + variant,
            attributes={"weight_shape": [outputs, inputs]},
            constants={**coded(weight), "bias": bias},
            input_rank=x.ndim,
            residual="Add" in variant,
        )
        expected = reference.gemm(x, weight, bias)
        feeds = {"x": x}
        if "Add" in variant:
            feeds["residual"] = rng.standard_normal(expected.shape).astype(np.float32)
            expected = expected + feeds["residual"]
        if "Relu" in variant:
            expected = np.maximum(expected, 0)
        for threads in (1, 2):
            session = make_session(node, threads)
            for _ in range(threads):
                assert_close(session.run(None, feeds)[0], expected, (outputs, inputs, leading, density))


@pytest.mark.usefixtures("isa")
def test_one_session_takes_every_batch_and_size(make_session) -> None:
    rng = np.random.default_rng(17)
    weight = random_weight(rng, (24, 20, 3, 3), 0.1, block4=False)
    bias = rng.standard_normal(24).astype(np.float32)
    case = Case(
        batch=1, group=1, inputs=20, outputs=24, spatial=(1, 1), kernel=(3, 3), strides=(1, 1), pads=(1, 1, 1, 1),
        dilations=(1, 1), density=0.1, block4=False,
    )  # fmt: skip
    session = make_session(conv_node(case, weight, bias), 2)
    for shape in [
        (1, 1, 1),
        (2, 5, 7),
        (1, 40, 3),
        (3, 16, 16),
        (1, 7, 7),
        (2, 33, 600),
        (0, 8, 8),
        (1, 1, 1),
        (1, 2, 2),
    ]:
        x = rng.standard_normal((shape[0], 20, *shape[1:])).astype(np.float32)
        expected = reference.conv(x, weight, bias, (1, 1), (1, 1, 1, 1), (1, 1), 1)
        assert_close(session.run(None, {"x": x})[0], expected, shape)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("block4", [False, True])
def test_absent_weights_never_multiply(make_session, *, block4: bool) -> None:
    rng = np.random.default_rng(19)
    for kernel in (1, 3):
        weight = random_weight(rng, (8, 30, kernel, kernel), 0.3, block4=block4)
        weight[:, 4] = 0
        x = rng.standard_normal((1, 30, 9, 9)).astype(np.float32)
        x[:, 4] = np.inf
        pad = kernel // 2
        case = Case(
            batch=1, group=1, inputs=30, outputs=8, spatial=(9, 9), kernel=(kernel, kernel), strides=(1, 1),
            pads=(pad,) * 4, dilations=(1, 1), density=0.3, block4=block4,
        )  # fmt: skip
        session = make_session(conv_node(case, weight, np.zeros(8, np.float32)))
        assert np.isfinite(session.run(None, {"x": x})[0]).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("variant", ["", "Relu"])
def test_not_a_number_in_the_input_reaches_the_output(make_session, variant: str) -> None:
    weight = np.ones((4, 1, 1, 1), np.float32)
    case = Case(
        batch=1, group=1, inputs=1, outputs=4, spatial=(5, 7), kernel=(1, 1), strides=(1, 1), pads=(0,) * 4,
        dilations=(1, 1), density=1, block4=False,
    )  # fmt: skip
    x = np.full((1, 1, 5, 7), -1.5, np.float32)
    x[0, 0, 2, 3] = np.nan
    x[0, 0, 1, 1] = 1e-42
    session = make_session(conv_node(case, weight, np.zeros(4, np.float32), variant=variant))
    y = session.run(None, {"x": x})[0]
    assert np.isnan(y[0, :, 2, 3]).all()
    assert np.isnan(y).sum() == 4
    assert (y[0, :, 1, 1] == np.float32(1e-42)).all()


@pytest.mark.parametrize("op", ["SparseGemm", "SparseLinear", "SparseMatMul"])
@pytest.mark.parametrize("kind", ["float16", "int8", "int8 per output"])
@pytest.mark.parametrize("code", CODES)
def test_short_values_are_widened_when_the_kernel_is_made(make_session, op, kind, code):
    rng = np.random.default_rng(23)
    present = rng.random((16, 40)) < 0.2
    bias = rng.standard_normal(16).astype(np.float32)
    x = rng.standard_normal((5, 40)).astype(np.float32)
    scale = np.ones(1, np.float32)
    if kind == "float16":
        stored = rng.standard_normal((16, 40)).astype(np.float16)
        stored[0, :2] = [6e-8, 65504]  # the least and the largest half
        stored[~present] = 0
    else:
        stored = rng.integers(-127, 128, (16, 40)).astype(np.int8) * present
        scale = rng.random(16 if "per output" in kind else 1).astype(np.float32)
    int8 = stored.dtype == np.int8
    node = Node(
        op=op + ("Bits" if code == "bits" else "") + ("Int8" if int8 else ""),
        attributes={"weight_shape": [16, 40]},
        constants={**coded(stored, code), **({"scale": scale} if int8 else {}), "bias": bias},
        input_rank=2,
    )
    expected = reference.gemm(x, stored.astype(np.float64) * scale[:, None], bias)
    actual = make_session(node).run(None, {"x": x})[0]
    # float32 sums of about eight products each
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
