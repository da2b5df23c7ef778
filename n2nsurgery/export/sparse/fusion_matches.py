"""Fusion matches: where a graph multiplies by a stored weight, and what directly follows and can be fused.

    Conv [-> Add residual] [-> activation]        Gemm | MatMul [-> Add bias] [-> Add residual] [-> activation]
    ConvTranspose [-> activation]

A step joins only where nothing else reads the value in between. ONNX Runtime fuses the sum of two convolutions into
the one that is its first operand; a fusion match does the same, so that both round alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir

from n2nsurgery.export.fusion.activations import Activation
from n2nsurgery.export.fusion.regions import activation_after
from n2nsurgery.export.sparse.operators import LinearForm

WEIGHT_INPUT = 1
_MATRIX = 2

Product = Literal["Conv", "ConvTranspose", "Gemm"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FusionMatch:
    """One use of `weight` that one operator of our domain can replace.

    `nodes` are replaced, the first being the product and the last giving the result. `transposed`: the initializer
    holds (K, O) and has to be turned to (O, K). `add` is the fused sum. `form`: which operator a linear layer
    becomes.
    """

    kind: Product
    weight: ir.Value
    nodes: tuple[ir.Node, ...]
    bias: ir.Value | None
    add: ir.Node | None
    activation: Activation | None
    transposed: bool = False
    form: LinearForm = "Gemm"

    @property
    def residual(self) -> ir.Value | None:
        """What the fused sum adds, read from the graph as it is now.

        Another fusion match may have replaced its producer.
        """
        if self.add is None:
            return None
        inner = {output for node in self.nodes for output in node.outputs}
        return next(value for value in self.add.inputs if value not in inner)

    @property
    def sample(self) -> tuple[int, ...] | None:
        """The shape of the product's input for a batch of one; None where that is not known."""
        source = self.nodes[0].inputs[0]
        if source is None or source.shape is None:
            return None
        batch, *rest = [size if isinstance(size, int) else None for size in source.shape] or [None]
        sizes = (1 if batch is None else batch, *rest)
        known = tuple(size for size in sizes if size is not None)
        return known if len(known) == len(source.shape) else None


def match_at(node: ir.Node) -> FusionMatch | str:
    """The fusion match whose product is `node`, a consumer of a weight at its input 1.

    Or the reason why there is none.
    """
    if node.domain or len(node.inputs) <= WEIGHT_INPUT or node.inputs[WEIGHT_INPUT] is None:
        return f"is an input of {node.op_type}, which has no sparse kernel"
    if node.op_type in {"Conv", "ConvTranspose"}:
        return _convolution(node, "Conv" if node.op_type == "Conv" else "ConvTranspose")
    if node.op_type == "Gemm":
        return _gemm(node)
    if node.op_type == "MatMul":
        return _matmul(node)
    return f"is an input of {node.op_type}, which has no sparse kernel"


def _convolution(node: ir.Node, kind: Product) -> FusionMatch | str:
    if node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return "its convolution pads automatically (auto_pad), which the sparse kernel does not"
    if node.attributes.get_ints("output_shape", []):
        return "its transposed convolution states an output_shape, for which the sparse kernel has no pads"
    bias = node.inputs[2] if len(node.inputs) > 2 else None  # noqa: PLR2004 - X, W, B
    if bias is not None and (bias.const_value is None or not _is_fixed(bias)):
        return "the bias of its convolution is no constant of finite values"
    return _with_tail(kind, [node], bias)


def _gemm(node: ir.Node) -> FusionMatch | str:
    attributes = node.attributes
    plain = (
        not attributes.get_int("transA", 0)
        and attributes.get_float("alpha", 1.0) == 1
        and attributes.get_float("beta", 1.0) == 1
    )
    if not plain:
        return "its Gemm is not of the form X W + b or X W^T + b"
    transposed = not attributes.get_int("transB", 0)
    bias = node.inputs[2] if len(node.inputs) > 2 else None  # noqa: PLR2004 - A, B, C
    if bias is not None and not _is_bias(bias, outputs=_weight(node).shape[1 if transposed else 0]):
        return "the bias of its Gemm is no constant vector of finite values"
    return _with_tail("Gemm", [node], bias, transposed=transposed)


def _matmul(node: ir.Node) -> FusionMatch | str:
    source, weight = node.inputs[0], _weight(node)
    if len(weight.shape) != _MATRIX or source is None or source.shape is None or len(source.shape) < _MATRIX:
        return "its MatMul is not of a batch of vectors by a matrix"
    follower = _only_user(node.outputs[0])
    bias = _other_operand(follower, node.outputs[0]) if follower is not None and follower.op_type == "Add" else None
    if follower is not None and bias is not None and _is_bias(bias, outputs=weight.shape[1]):
        return _with_tail("Gemm", [node, follower], bias, transposed=True, form="Linear")
    return _with_tail("Gemm", [node], None, transposed=True, form="MatMul")


def _with_tail(
    kind: Product,
    nodes: list[ir.Node],
    bias: ir.Value | None,
    *,
    transposed: bool = False,
    form: LinearForm = "Gemm",
) -> FusionMatch:
    add = None
    follower = _only_user(nodes[-1].outputs[0])
    summed = kind != "ConvTranspose" and follower is not None and follower.op_type == "Add"
    if follower is not None and summed and _adds_residual(follower, nodes[-1].outputs[0]):
        add = follower
        nodes.append(follower)
    activation, following = activation_after(nodes[-1].outputs[0]) or (None, ())
    nodes.extend(following)
    weight = nodes[0].inputs[WEIGHT_INPUT]
    assert weight is not None
    return FusionMatch(
        kind=kind, weight=weight, nodes=tuple(nodes), bias=bias, add=add, activation=activation,
        transposed=transposed, form=form,
    )  # fmt: skip


def _adds_residual(add: ir.Node, product: ir.Value) -> bool:
    """What `add` adds to `product` can be fused: it has the same shape, and is not a product that comes first."""
    other = _other_operand(add, product)
    if other is None or other.const_value is not None or not _same_shape(other, product):
        return False
    return add.inputs[0] is product or not _is_product(other)


def _is_product(value: ir.Value) -> bool:
    """Some fusion match may end in `value`, and take the sum for itself."""
    node = value.producer()
    if node is None or node.op_type != "Add":
        return node is not None and node.op_type in {"Conv", "Gemm", "MatMul"}
    products = [operand.producer() for operand in node.inputs if operand is not None]
    constant = any(operand is not None and operand.const_value is not None for operand in node.inputs)
    return constant and any(product is not None and product.op_type == "MatMul" for product in products)


def _weight(node: ir.Node) -> ir.TensorProtocol:
    value = node.inputs[WEIGHT_INPUT]
    assert value is not None
    assert value.const_value is not None
    return value.const_value


def _is_bias(value: ir.Value, outputs: object) -> bool:
    return value.const_value is not None and tuple(value.const_value.shape) == (outputs,) and _is_fixed(value)


def _is_fixed(bias: ir.Value) -> bool:
    """Nobody can give another bias when the model runs, and it has the finite values that sparse kernels take."""
    tensor = bias.const_value
    return tensor is not None and not bias.is_graph_input() and bool(np.isfinite(tensor.numpy()).all())


def _other_operand(add: ir.Node, value: ir.Value) -> ir.Value | None:
    """The operand of a binary node that is not `value`; None where both are."""
    others = [operand for operand in add.inputs if operand is not value]
    return others[0] if len(others) == 1 else None


def _only_user(value: ir.Value) -> ir.Node | None:
    """The standard node that alone reads `value`; None where there are several, or where the model returns it."""
    uses = tuple(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.domain or uses[0].node.graph is not value.graph:
        return None
    return uses[0].node


def _same_shape(one: ir.Value, other: ir.Value) -> bool:
    """Both shapes are known and equal, dynamic dimensions by name."""
    if one.shape is None or other.shape is None or len(one.shape) != len(other.shape):
        return False
    pairs = zip(one.shape, other.shape, strict=True)
    return all(a == b and not (isinstance(a, ir.SymbolicDim) and a.value is None) for a, b in pairs)
