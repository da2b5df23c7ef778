"""What each node of a traced graph does, as far as layer pairs care."""

from __future__ import annotations

import enum
from math import prod
from operator import attrgetter, matmul
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from n2nsurgery.graph.layers.layer_graph import Nonlinearity, Operator
from n2nsurgery.graph.tracing.leaves import WEIGHTED_MODULES, holds_weighted, is_matrix_layer, is_norm
from n2nsurgery.graph.used_weight import holder_of


class Role(enum.Enum):
    """The part a node plays between two weighted layers."""

    WEIGHTED = "conv, transposed conv or linear layer"
    OPAQUE = "module with weights inside that is not looked into"
    ACTIVATION = "pointwise nonlinearity"
    NORM = "normalization"
    PASS = "elementwise and linear: dropout, scale, cast"  # noqa: S105 - a role, no password
    ADD = "sum of two data tensors"
    MUL = "product of two data tensors"
    CONCAT = "concatenation"
    MATMUL = "attention: matrix product or softmax"
    LAYOUT = "view, permutation or slice"
    META = "shape, dtype or device, no data"
    OTHER = "anything else, pooling included"


WEIGHTED_FUNCTIONS: dict[Any, Operator] = {
    functional.conv1d: "conv1d",
    functional.conv2d: "conv2d",
    functional.conv3d: "conv3d",
    functional.conv_transpose1d: "conv_transpose1d",
    functional.conv_transpose2d: "conv_transpose2d",
    functional.conv_transpose3d: "conv_transpose3d",
    functional.linear: "linear",
}
_MATRIX_PRODUCTS = frozenset([torch.matmul, torch.mm, matmul, "matmul", "mm", "__matmul__"])
_MATRIX = 2
_MODULE_OPERATORS: tuple[tuple[type[nn.Module], Operator], ...] = (
    (nn.ConvTranspose1d, "conv_transpose1d"),
    (nn.ConvTranspose2d, "conv_transpose2d"),
    (nn.ConvTranspose3d, "conv_transpose3d"),
    (nn.Conv1d, "conv1d"),
    (nn.Conv2d, "conv2d"),
    (nn.Conv3d, "conv3d"),
    (nn.Linear, "linear"),
)
# functional name -> torch.nn class; the arguments that shape the function, in the class's words
_ACTIVATIONS: dict[str, str] = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "elu": "ELU", "celu": "CELU", "selu": "SELU",
    "gelu": "GELU", "silu": "SiLU", "mish": "Mish", "hardswish": "Hardswish", "hardtanh": "Hardtanh", "tanh": "Tanh",
    "sigmoid": "Sigmoid", "hardsigmoid": "Hardsigmoid", "softplus": "Softplus", "softsign": "Softsign",
    "logsigmoid": "LogSigmoid", "prelu": "PReLU", "rrelu": "RReLU", "softshrink": "Softshrink",
    "hardshrink": "Hardshrink", "threshold": "Threshold", "glu": "GLU", "quick_gelu": "QuickGELU", "swish": "SiLU",
    "hard_swish": "Hardswish", "hard_sigmoid": "Hardsigmoid", "gelu_tanh": "GELUTanh",
    "GeLUFunction": "GELUTanh",  # the autograd function of Bloom
}  # fmt: skip
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "LeakyReLU": ("negative_slope",),
    "ELU": ("alpha",),
    "CELU": ("alpha",),
    "GELU": ("approximate",),
    "Hardtanh": ("min_val", "max_val"),
    "Softplus": ("beta", "threshold"),
    "Softshrink": ("lambd",),
    "Hardshrink": ("lambd",),
    "PReLU": ("num_parameters",),
}
_CUSTOM_ACTIVATIONS = {
    "HardSwish": "Hardswish", "HardSigmoid": "Hardsigmoid", "Swish": "SiLU", "GELUActivation": "GELU",
    "NewGELUActivation": "GELUTanh", "FastGELUActivation": "GELUTanh", "AccurateGELUActivation": "GELUTanh",
    "QuickGELUActivation": "QuickGELU", "SiLUActivation": "SiLU", "MishActivation": "Mish",
}  # fmt: skip
_ATTENTION_MODULES = ("Softmax", "LogSoftmax", "Softmax2d", "Softmin", "MultiheadAttention")
_PASS_MODULES = ("Identity", "StochasticDepth", "DropPath", "LayerScale", "LayerScale2d", "DropBlock2d")
_LAYOUT_MODULES = ("Flatten", "Unflatten", "Permute", "PixelShuffle", "ChannelShuffle")
_FUNCTIONS: dict[Role, frozenset[str]] = {
    Role.NORM: frozenset([
        "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm",
    ]),
    Role.PASS: frozenset([
        "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout", "stochastic_depth",
        "drop_path", "contiguous", "float", "type", "clone", "drop_block2d", "div", "truediv", "neg", "to",
        "type_as",
    ]),
    Role.LAYOUT: frozenset([
        "view", "reshape", "permute", "transpose", "flatten", "unflatten", "rearrange", "unsqueeze", "squeeze",
        "chunk", "split", "unbind", "getitem", "roll", "movedim", "t", "expand", "select", "narrow", "pad", "unfold",
        "fold", "swapaxes",
    ]),
    Role.CONCAT: frozenset([
        "cat", "concat", "concatenate", "stack",
    ]),
    Role.MATMUL: frozenset([
        "matmul", "bmm", "baddbmm", "scaled_dot_product_attention", "einsum", "softmax", "log_softmax", "normalize",
        "cosine_similarity", "_native_multi_head_attention", "shifted_window_attention",
    ]),
    Role.META: frozenset([
        "size", "getattr", "dim",
    ]),
}  # fmt: skip
_ADD = frozenset(["add", "iadd", "sub", "isub"])
_MUL = frozenset(["mul", "imul", "multiply"])


def name_of(node: fx.Node, root: nn.Module) -> str:
    """The class of a module call, the bare name of a function or method (without a trailing underscore)."""
    if node.op == "call_module":
        return type(root.get_submodule(str(node.target))).__name__
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return name.rstrip("_") if not name.startswith("__") else name


def is_tensor(node: fx.Node) -> bool:
    """Whether the node's value is one tensor."""
    return node.meta.get("shapes") is not None


def operator_of(node: fx.Node, root: nn.Module) -> Operator | None:
    """The kind of a weighted layer, None for every other node."""
    operator: Operator | None = None
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        operator = next((operator for kind, operator in _MODULE_OPERATORS if isinstance(module, kind)), None)
        operator = "linear" if is_matrix_layer(module) else operator
    elif is_matrix_product(node):
        operator = "linear"
    elif callable(node.target):
        operator = WEIGHTED_FUNCTIONS.get(node.target)
    return operator if operator is not None and weight_of(node, root) is not None else None


def is_matrix_product(node: fx.Node) -> bool:
    """Whether `node` is `x @ weight` with a matrix of the module's own."""
    weight = node.args[1] if len(node.args) > 1 else None
    if node.target not in _MATRIX_PRODUCTS or not isinstance(weight, fx.Node) or weight.op != "get_attr":
        return False
    return is_tensor(weight) and len(weight.meta["shapes"][0]) == _MATRIX


def is_matrix(node: fx.Node, root: nn.Module) -> bool:
    """Whether a weighted call has its weight as (in, out)."""
    if node.op == "call_module":
        return is_matrix_layer(root.get_submodule(str(node.target)))
    return is_matrix_product(node)


def weight_of(node: fx.Node, root: nn.Module) -> nn.Parameter | None:
    """The parameter that a conv or linear call multiplies with, or that has the zeros of what it multiplies with.

    None where it is a buffer, or is computed in another way.
    """
    if node.op == "call_module":
        found = holder_of(root.get_submodule(str(node.target)))
        weight = found[1] if found is not None else None
    else:
        argument = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
        known = argument if isinstance(argument, fx.Node) and argument.op == "get_attr" else None
        weight = attrgetter(str(known.target))(root) if known is not None else None
    return weight if isinstance(weight, nn.Parameter) else None


def role_of(node: fx.Node, root: nn.Module) -> Role:
    """The role of one node."""
    if operator_of(node, root) is not None:
        return Role.WEIGHTED
    if node.op == "call_module":
        return _module_role(root.get_submodule(str(node.target)))
    return _function_role(node, name_of(node, root)) if node.op in {"call_function", "call_method"} else Role.OTHER


def _function_role(node: fx.Node, name: str) -> Role:
    if name in _ADD or name in _MUL:
        data = [argument for argument in node.all_input_nodes if is_tensor(argument) and argument.op != "get_attr"]
        of_data = Role.ADD if name in _ADD else Role.MUL
        return of_data if len(data) > 1 else Role.PASS
    if name in _ACTIVATIONS:
        return Role.ACTIVATION
    role = next((role for role, names in _FUNCTIONS.items() if name in names), Role.OTHER)
    return Role.LAYOUT if role is Role.META and is_tensor(node) else role  # x.T is data, x.dtype is not


def _module_role(module: nn.Module) -> Role:
    name = type(module).__name__
    if isinstance(module, WEIGHTED_MODULES) or holds_weighted(module) or name == "MultiheadAttention":
        return Role.OPAQUE
    if name in _ATTENTION_MODULES:
        return Role.MATMUL
    if type(module).__module__ == "torch.nn.modules.activation" or _activation_class(name) is not None:
        return Role.ACTIVATION
    if is_norm(module):
        fused = getattr(module, "act", None)  # norm and activation in one module
        return Role.NORM if fused is None or isinstance(fused, nn.Identity) else Role.ACTIVATION
    if name in _PASS_MODULES or isinstance(module, nn.modules.dropout._DropoutNd):  # noqa: SLF001
        return Role.PASS
    return Role.LAYOUT if name in _LAYOUT_MODULES else Role.OTHER


def _activation_class(name: str) -> str | None:
    name = _CUSTOM_ACTIVATIONS.get(name, name)
    return name if name in _ACTIVATIONS.values() else None


def nonlinearity_of(node: fx.Node, root: nn.Module) -> Nonlinearity:
    """The function g that an ACTIVATION node (or the product x * sigmoid(x)) applies."""
    if name_of(node, root) in _MUL:
        return Nonlinearity(name="SiLU")
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        fused = getattr(module, "act", None)
        module = fused if is_norm(module) and isinstance(fused, nn.Module) else module
        name = _activation_class(type(module).__name__) or type(module).__name__
        values = {key: getattr(module, key) for key in _ARGUMENTS.get(name, ()) if hasattr(module, key)}
    else:
        name = _ACTIVATIONS[name_of(node, root)]
        keys = _ARGUMENTS.get(name, ())
        given = dict(zip(keys, node.args[1:], strict=False)) | {k: v for k, v in node.kwargs.items() if k in keys}
        values = {"num_parameters": _slopes(node, root)} if name == "PReLU" else given
    if name == "GELUTanh":
        return Nonlinearity(name="GELU", arguments=(("approximate", "tanh"),))
    return Nonlinearity(name=name, arguments=tuple((key, values[key]) for key in sorted(values)))


def _slopes(prelu: fx.Node, root: nn.Module) -> int:
    """How many slopes a call of `prelu` is given."""
    slopes = prelu.args[1] if len(prelu.args) > 1 else prelu.kwargs["weight"]
    assert isinstance(slopes, fx.Node)
    if slopes.op == "get_attr":
        return int(attrgetter(str(slopes.target))(root).numel())
    return prod(slopes.meta["shapes"][0])
