"""What torch's operations do to channels, by their bare names: `add` is torch.add, Tensor.add_, and the operator +."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

WITHOUT_DATA = frozenset({
    "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones",
    "new_empty", "new_full", "new_tensor", "type", "is_floating_point",
})  # fmt: skip
SUMS = frozenset({"add", "sub", "radd", "rsub", "iadd", "isub", "subtract"})
POINTWISE = frozenset({
    "mul", "rmul", "imul", "multiply", "div", "rdiv", "truediv", "rtruediv", "itruediv", "true_divide", "divide",
    "floor_divide", "floordiv", "pow", "rpow", "ipow", "square", "sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log",
    "log1p", "log2", "sin", "cos", "tan", "atan", "atan2", "abs", "absolute", "neg", "negative", "sign", "floor",
    "ceil", "round", "erf", "erfc", "maximum", "minimum", "clamp", "clip", "clamp_min", "clamp_max", "where", "lerp",
    "addcmul", "addcdiv", "masked_fill", "tril", "triu", "nan_to_num", "logical_and", "logical_or", "logical_not",
    "eq", "ne", "lt", "le", "gt", "ge", "bitwise_and", "bitwise_or", "isnan", "isinf", "fmod", "remainder",
    "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "hardswish", "hardtanh", "tanh",
    "sigmoid", "hardsigmoid", "softplus", "softsign", "logsigmoid", "log_sigmoid", "prelu", "rrelu", "softshrink",
    "hardshrink", "tanhshrink", "threshold", "softmax", "log_softmax", "softmin", "normalize", "batch_norm",
    "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm", "native_layer_norm",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout",
    "native_dropout",
    "contiguous", "clone", "detach", "to", "float", "double", "half", "bfloat16", "int", "long", "bool",
    "type_as", "cpu", "cuda", "requires_grad", "data", "real", "copy", "fill_diagonal", "cumsum", "alias", "lift",
})  # fmt: skip
MOVES = frozenset({
    "reshape", "view", "permute", "transpose", "flatten", "unflatten", "squeeze", "unsqueeze", "expand", "expand_as",
    "repeat", "repeat_interleave", "tile", "chunk", "split", "split_with_sizes", "tensor_split", "hsplit", "vsplit",
    "unbind", "select", "narrow", "getitem", "index_select", "gather", "take_along_dim", "roll", "flip", "fliplr",
    "flipud", "rot90", "movedim", "moveaxis", "swapaxes", "swapdims", "t", "T", "mT", "adjoint", "diagonal",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle", "pad", "constant_pad_nd", "cat",
    "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "unfold", "im2col", "view_as", "reshape_as",
    "as_strided", "broadcast_to", "broadcast_tensors", "atleast_1d", "atleast_2d", "atleast_3d", "iter",
})  # fmt: skip
REDUCTIONS = frozenset({
    "mean", "sum", "amax", "amin", "max", "min", "prod", "std", "var", "norm", "vector_norm", "linalg_vector_norm",
    "logsumexp", "median", "nanmean", "nansum", "any", "all", "var_mean", "std_mean",
})  # fmt: skip
POOLS = frozenset({
    f"{kind}{rank}d"
    for kind in ("avg_pool", "max_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool")
    for rank in (1, 2, 3)
} | {
    "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices", "interpolate", "upsample",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d", "upsample_bicubic2d",
    "upsample_linear1d", "upsample_trilinear3d", "grid_sample", "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d_with_indices",
})  # fmt: skip
PRODUCTS = frozenset({"matmul", "bmm", "mm", "rmatmul", "baddbmm", "addmm"})
CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d"})
TRANSPOSED = frozenset({"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})

OF_CONTIGUOUS = frozenset({"view", "view_as", "as_strided"})
"""They ask for tensors without repetition."""
OF_SECOND_SHAPE_ONLY = frozenset({"type_as", "expand_as", "view_as", "reshape_as", "to", "copy"})
"""Of their second tensor they take the shape or type."""
WITH_DATA_CONSTANTS = frozenset({
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "setitem", "broadcast_tensors",
})  # fmt: skip
"""A constant among their operands is data, not an index."""


def operation_name(function: Callable[..., Any]) -> str:
    """The bare name of what torch calls: of a property its own, of an operator or in-place method without `_`."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        name = getattr(getattr(function, "__self__", None), "__name__", name)
    return str(name).strip("_")


def is_python(function: Callable[..., Any]) -> bool:
    """Whether the function's own calls of torch can be followed."""
    return inspect.isfunction(function)


def reduced_axes(args: tuple[Any, ...], kwargs: dict[str, Any], rank: int) -> tuple[int, ...]:
    """The dimensions over which a reduction of a tensor with `rank` dimensions runs; all of them by default."""
    given = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    if isinstance(given, int) and not isinstance(given, bool):
        return (given % rank,)
    if isinstance(given, tuple | list) and given:
        return tuple(int(axis) % rank for axis in given)
    return tuple(range(rank))


def pooled_axes(name: str, rank: int) -> tuple[int, ...]:
    """The dimensions over which a pooling or resizing runs: as many of the last as its name says, else the spatial."""
    for digit in "123":
        if f"{digit}d" in name:
            return tuple(range(rank - int(digit), rank))
    return tuple(range(2, rank))
