"""The name of how a weight's entries lie between inputs and outputs; importing it needs no torch."""

from __future__ import annotations

from typing import Literal

WeightLayout = Literal["conv", "conv_transpose", "linear", "matrix", "input_first", "linear_stack", "matrix_stack"]
"""Which axes of a weight are outputs, inputs, taps, and a stack of several matrices.

`linear`: the last axis are the inputs, all before it outputs. `matrix`: the last axis are the outputs, all before it
inputs. `input_first`: the first axis are the inputs, all behind it outputs.
"""
