"""ResNet50 and VGG19 as pairs of ONNX files: dense with zeros, and the same with sparse nodes."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from n2nsurgery.export.codec import gaps as gap_codec
from n2nsurgery.export.layout.pools import keep_pools_plain
from n2nsurgery.export.sparse.operators import DOMAIN

CACHE = Path(tempfile.gettempdir()) / "n2nsurgery-bench"


def dense_model(name: str) -> onnx.ModelProto:
    """torchvision's model in eval mode, exported once and kept."""
    path = CACHE / f"{name}.onnx"
    if not path.exists():
        import torch
        import torchvision

        warnings.filterwarnings("ignore")
        CACHE.mkdir(parents=True, exist_ok=True)
        model = getattr(torchvision.models, name)().eval()
        batch = torch.export.Dim("batch")
        torch.onnx.export(
            model, (torch.zeros(2, 3, 224, 224),), str(path), dynamo=True, external_data=False,
            dynamic_shapes={"x": {0: batch}}, verbose=False,
        )  # fmt: skip
    return onnx.load(str(path))


def random_mask(shape: tuple[int, ...], density: float, kind: str, rng: np.random.Generator) -> NDArray[np.bool_]:
    if kind == "block4" and shape[0] % 4 == 0:
        first = rng.random((shape[0] // 4, *shape[1:])) < density
        return np.repeat(first, 4, axis=0)
    return rng.random(shape) < density


def gap_code(weight: NDArray[np.float32]) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Gaps (uint8) and values of a weight, fillers included."""
    flat = weight.ravel()
    places = np.flatnonzero(flat).astype(np.int64)
    return gap_codec.encode(places, flat[places], np.uint8)


def pair(
    name: str, density: float, kind: str = "uniform", *, seed: int = 0, only: str = ""
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """(dense with zeros, sparse): equal functions. `only` limits sparse nodes to names that contain it."""
    dense = dense_model(name)
    rng = np.random.default_rng(seed)
    tensors = {t.name: t for t in dense.graph.initializer}
    for node in dense.graph.node:
        if node.op_type not in {"Conv", "Gemm"}:
            continue
        weight = numpy_helper.to_array(tensors[node.input[1]])
        mask = random_mask(weight.shape, density, kind, rng)
        scaled = np.where(mask, weight / np.sqrt(density), 0).astype(np.float32)
        tensors[node.input[1]].CopyFrom(numpy_helper.from_array(scaled, node.input[1]))
    return dense, sparse_of(dense, only)


def sparse_of(dense: onnx.ModelProto, only: str = "") -> onnx.ModelProto:  # noqa: C901, PLR0912 - one pass, one match
    model = onnx.ModelProto()
    model.CopyFrom(dense)
    graph = model.graph
    tensors = {t.name: t for t in graph.initializer}
    users: dict[str, list[onnx.NodeProto]] = {}
    made: dict[str, int] = {}
    for i, node in enumerate(graph.node):
        for value in node.input:
            users.setdefault(value, []).append(node)
        for value in node.output:
            made[value] = i
    drop: set[int] = set()
    replaced: dict[int, onnx.NodeProto] = {}
    index = {id(node): i for i, node in enumerate(graph.node)}
    for i, node in enumerate(graph.node):
        if node.op_type not in {"Conv", "Gemm"} or only not in node.name:
            continue
        weight = numpy_helper.to_array(tensors[node.input[1]])
        last, op, residual = node, "Sparse" + node.op_type, None
        follow = users.get(last.output[0], [])
        if len(follow) == 1 and follow[0].op_type == "Add" and index[id(follow[0])] not in replaced:
            other = next(v for v in follow[0].input if v != last.output[0])
            if made.get(other, -1) < i and other not in tensors and index[id(follow[0])] not in drop:
                op, residual, last = op + "Add", other, follow[0]
        follow = users.get(last.output[0], [])
        if len(follow) == 1 and follow[0].op_type == "Relu":
            op, last = op + "Relu", follow[0]
        gaps, values = gap_code(weight)
        base = node.input[1]
        for suffix, array in (("gaps", gaps), ("values", values)):
            graph.initializer.append(numpy_helper.from_array(array, f"{base}.{suffix}"))
        if len(node.input) > 2:
            bias = node.input[2]
        else:
            bias = f"{base}.bias"
            graph.initializer.append(numpy_helper.from_array(np.zeros(weight.shape[0], np.float32), bias))
        attributes: dict = {"weight_shape": list(weight.shape)}
        if node.op_type == "Conv":
            given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            attributes |= {k: given[k] for k in ("strides", "pads", "dilations", "group") if k in given}
        inputs = [node.input[0], f"{base}.gaps", f"{base}.values", bias] + ([residual] if residual else [])
        for old in {index[id(node)], index[id(last)]} | (
            {index[id(users[node.output[0]][0])]} if last is not node else set()
        ):
            drop.add(old)
        replaced[i] = helper.make_node(op, inputs, [last.output[0]], domain=DOMAIN, name=node.name, **attributes)
    kept = [replaced.get(i, node) for i, node in enumerate(graph.node) if i in replaced or i not in drop]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
    used = {value for node in graph.node for value in node.input}
    alive = [t for t in graph.initializer if t.name in used]
    copies_of = [onnx.TensorProto.FromString(t.SerializeToString()) for t in alive]
    del graph.initializer[:]
    graph.initializer.extend(copies_of)
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return with_plain_pools(model)


def with_plain_pools(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with PlainMaxPool where the exporter puts it; shapes stay stated, as in an exported file."""
    pooled = ir.from_proto(model)
    keep_pools_plain(pooled.graph)
    return ir.to_proto(pooled)
