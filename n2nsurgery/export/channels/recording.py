"""Recording: an ONNX graph as the steps of a Program, for a batch of two where the batch is free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import defs, helper, numpy_helper, shape_inference

from n2nsurgery.core.errors import UsageError
from n2nsurgery.export.channels.constants import Array, Constants, describe
from n2nsurgery.export.files.load import STANDARD_DOMAINS
from n2nsurgery.graph.channels.labels import Shape
from n2nsurgery.graph.channels.steps import AnyStep, Input, LayerStep, Program
from n2nsurgery.graph.weight_layout import WeightLayout

BATCH = 2
_SHAPE_DATA = 4096
"""Constants up to this size are shown to ONNX's shape inference: shapes, axes, pads; never weights."""
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


class Recording:
    """The steps of one graph; `weights` by parameter name, `values` by tensor name; `coded` weights."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.opsets = list(model.opset_import)
        self.constants = Constants(model.graph.initializer, self.opsets)
        self.weights: dict[str, NDArray[Any]] = {}
        self.coded: set[str] = set()
        self.values: dict[str, int] = {}
        self.steps: list[AnyStep] = []
        self._types: dict[str, onnx.TypeProto] = {}
        self._declared = {value.name: value.type for value in (*model.graph.value_info, *model.graph.output)}
        self._version = next(entry.version for entry in self.opsets if entry.domain in STANDARD_DOMAINS)
        self.inputs = tuple(self._input(value) for value in model.graph.input if value.name not in self.constants)
        self._outputs = [value.name for value in model.graph.output]

    @property
    def program(self) -> Program:
        """What was recorded."""
        outputs = (self.values[name] for name in self._outputs if name in self.values)
        return Program(inputs=self.inputs, steps=tuple(self.steps), outputs=tuple(dict.fromkeys(outputs)))

    def shape(self, name: str) -> Shape:
        """The shape of a value."""
        return _sizes(self._types[name])

    def reads(self, node: onnx.NodeProto) -> tuple[int, ...]:
        """The values among a node's inputs."""
        return tuple(self.values[name] for name in node.input if name in self.values)

    def carried(self, node: onnx.NodeProto) -> tuple[int, ...]:
        """The values among a node's inputs and among what the bodies of a branch or loop take from around them."""
        return tuple(self.values[name] for name in (*node.input, *_captured(node)) if name in self.values)

    # -- recording --------------------------------------------------------------------------------------------

    def _input(self, given: onnx.ValueInfoProto) -> Input:
        dims = given.type.tensor_type.shape.dim
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        if any(size is None for size in sizes[1:]) or not given.type.HasField("tensor_type"):
            raise UsageError(
                f"input '{given.name}' has sizes {[size or 'free' for size in sizes]}; only the batch, the first,"
                " may be free: export the model with fixed sizes"
            )
        shape = tuple(BATCH if size is None else size for size in sizes)
        kind = given.type.tensor_type.elem_type
        self._types[given.name] = helper.make_tensor_type_proto(kind, shape)
        return Input(value=self._value(given.name), name=given.name, shape=shape, indices=kind not in _FLOATS)

    def _value(self, name: str) -> int:
        self.values[name] = len(self.values)
        return self.values[name]

    def add(
        self,
        kind: type[AnyStep],
        node: onnx.NodeProto,
        reads: tuple[int, ...],
        *,
        outputs: int | None = None,
        **more: Any,  # noqa: ANN401 - what the kind of step holds besides
    ) -> bool:
        """A step for `node`, or for its first `outputs` outputs."""
        names = [name for name in node.output if name][:outputs]
        shapes = tuple(self.shape(name) for name in names)
        writes = tuple(self._value(name) for name in names)
        operation = node.op_type.lower().removeprefix("reduce")
        self.steps.append(kind(operation=operation, reads=reads, writes=writes, shapes=shapes, **more))
        return True

    def add_layer(  # noqa: PLR0913 - what makes a layer
        self, node: onnx.NodeProto, tensor: str, weight: Array, *, layout: WeightLayout, groups: int, axis: int
    ) -> bool:
        """A weighted layer by `tensor`, with `weight` in the orientation of PrunableWeight; names are kept apart."""
        name = self.constants.parameter(tensor)
        while name in self.weights and not _same(self.weights[name], weight):
            name += "'"
        self.weights.setdefault(name, weight)
        self.coded.update({name} if self.constants.coded(tensor) else ())
        shape, reads = tuple(weight.shape), (self.values[node.input[0]],)
        return self.add(
            LayerStep, node, reads, weight=name, weight_shape=shape, layout=layout, groups=groups, axis=axis
        )

    # -- shapes -----------------------------------------------------------------------------------------------

    def infer(self, node: onnx.NodeProto) -> None:
        """The types of a node's outputs, from ONNX's own inference; else those that the file declares."""
        found: dict[str, onnx.TypeProto] = {}
        if node.domain in STANDARD_DOMAINS and defs.has(node.op_type, self._version, ""):
            schema = defs.get_schema(node.op_type, self._version, "")
            types = {name: self._type(name) for name in node.input if name}
            data = {
                name: numpy_helper.from_array(self.constants[name], name) for name in node.input if self._shows(name)
            }
            found = shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=self.opsets)
        for name in filter(None, node.output):
            kind = found.get(name)
            known = kind if kind is not None and _known(kind) else _at_batch(self._declared.get(name))
            if known is None:
                raise UsageError(
                    f"{describe(node)} gives '{name}', whose shape neither ONNX nor the file tells; save the model with"
                    " inferred shapes (onnx.shape_inference.infer_shapes)"
                )
            self._types[name] = known

    def _type(self, name: str) -> onnx.TypeProto:
        if name in self._types:
            return self._types[name]
        array = self.constants[name]
        return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    def _shows(self, name: str) -> bool:
        return bool(name) and name not in self.values and self.constants[name].size <= _SHAPE_DATA


def _same(first: Array, second: Array) -> bool:
    return first is second or (first.shape == second.shape and np.array_equal(first, second, equal_nan=True))


def _captured(node: onnx.NodeProto) -> Iterator[str]:
    """Names that the bodies of a branch or loop take from the graph around them."""
    for given in node.attribute:
        for body in (given.g, *given.graphs):
            for inner in body.node:
                yield from inner.input
                yield from _captured(inner)


def _known(kind: onnx.TypeProto) -> bool:
    return kind.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.tensor_type.shape.dim)


def _at_batch(kind: onnx.TypeProto | None) -> onnx.TypeProto | None:
    """A declared type with a batch of two, where only the batch is free."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    sizes = [dim.dim_value if dim.HasField("dim_value") else (BATCH if i == 0 else None) for i, dim in enumerate(dims)]
    return None if None in sizes else helper.make_tensor_type_proto(kind.tensor_type.elem_type, sizes)


def _sizes(kind: onnx.TypeProto) -> Shape:
    return tuple(dim.dim_value for dim in kind.tensor_type.shape.dim)
