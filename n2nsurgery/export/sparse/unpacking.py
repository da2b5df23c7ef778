"""The operator that gives a coded weight's values from their packed form, as a function of standard ONNX.

    UnpackFloats (significands, exponents, common, rare) -> values

It has no kernel: ONNX Runtime computes it once, when a session is made, so that the operators that follow find the
values as a constant. Every step is exact in float32: a significand is an integer below 2^24, its scale a power of 2.
"""

from __future__ import annotations

from dataclasses import fields

import onnx_ir as ir

from n2nsurgery.export.capture.capture import OPSET
from n2nsurgery.export.codec.packed import PackedFloats
from n2nsurgery.export.sparse.functions import BITWISE_AND, parsed

UNPACK_FLOATS = "UnpackFloats"
PACKED_TENSORS = tuple(field.name for field in fields(PackedFloats))
"""The operator's inputs, and what follows the weight's name in the names of their tensors."""

_SCALES = ", ".join(["0", *(repr(2.0 ** (exponent - 150)) for exponent in range(1, 255)), "0"])
"""By exponent, what a significand is multiplied by; 0 for the exponent 0."""

_NUMBERS = """
    all = Constant <value = int64[1] {{-1}}> ()
    first_axis = Constant <value = int64[1] {{0}}> ()
    last_axis = Constant <value = int64[1] {{2}}> ()
    shifts = Constant <value = uint8[8] {{0, 1, 2, 3, 4, 5, 6, 7}}> ()
    one = Constant <value = uint8 {{1}}> ()
    two = Constant <value = uint8 {{2}}> ()
    column = Unsqueeze (exponents, last_axis)
    shifted = BitShift <direction = "RIGHT"> (column, shifts)
    bits = {lowest_bit}
    planes_shape = Constant <value = int64[2] {{3, -1}}> ()
    planes = Reshape (bits, planes_shape)
    plane_bits = Cast <to = 6> (planes)
    worth = Constant <value = int32[3,1] {{1, 2, 4}}> ()
    parts = Mul (plane_bits, worth)
    padded = ReduceSum <keepdims = 0> (parts, first_axis)
    shape = Shape (significands)
    last = Constant <value = int64[1] {{1}}> ()
    count = Gather (shape, last)
    numbers = Slice (padded, first_axis, count)
"""

_SCALE = f"""
    scales = Constant <value = float[256] {{{_SCALES}}}> ()
    seven = Constant <value = int32 {{7}}> ()
    is_rare = Equal (numbers, seven)
    rare_ones = Cast <to = 6> (is_rare)
    axis = Constant <value = int64 {{0}}> ()
    running = CumSum (rare_ones, axis)
    place = Mul (running, rare_ones)
    nothing = Constant <value = uint8[1] {{0}}> ()
    rare_list = Concat <axis = 0> (nothing, rare)
    common_list = Concat <axis = 0> (common, nothing)
    rare_exponents = Gather (rare_list, place)
    common_exponents = Gather (common_list, numbers)
    rare_indices = Cast <to = 6> (rare_exponents)
    common_indices = Cast <to = 6> (common_exponents)
    rare_scale = Gather (scales, rare_indices)
    common_scale = Gather (scales, common_indices)
    scale = Add (rare_scale, common_scale)
"""

_SIGNIFICAND = """
    bytes = Cast <to = 1> (significands)
    zero_row = Constant <value = int64 {0}> ()
    one_row = Constant <value = int64 {1}> ()
    two_row = Constant <value = int64 {2}> ()
    low = Gather (bytes, zero_row)
    middle = Gather (bytes, one_row)
    signed_high = Gather (bytes, two_row)
    sign_bit = Constant <value = float {128}> ()
    below = Less (signed_high, sign_bit)
    negative = Not (below)
    negatives = Cast <to = 1> (negative)
    taken = Mul (negatives, sign_bit)
    high = Sub (signed_high, taken)
    byte = Constant <value = float {256}> ()
    two_bytes = Constant <value = float {65536}> ()
    hidden = Constant <value = float {8388608}> ()
    middle_part = Mul (middle, byte)
    high_part = Mul (high, two_bytes)
    lower = Add (low, middle_part)
    upper = Add (high_part, hidden)
    magnitude = Add (lower, upper)
    double = Constant <value = float {2}> ()
    unit = Constant <value = float {1}> ()
    twice = Mul (negatives, double)
    sign = Sub (unit, twice)
    significand = Mul (magnitude, sign)
    values = Mul (significand, scale)
"""


def unpacking_function(opset: int = OPSET) -> ir.Function:
    """The model-local function of UnpackFloats in operator set `opset`, LEAST_OPSET or newer."""
    lowest_bit = "BitwiseAnd (shifted, one)" if opset >= BITWISE_AND else "Mod (shifted, two)"
    body = _NUMBERS.format(lowest_bit=lowest_bit) + _SCALE + _SIGNIFICAND
    return parsed(f"{UNPACK_FLOATS} ({', '.join(PACKED_TENSORS)}) => (values)", body, opset)
