"""From a module to an ONNX graph in memory: torch.export, translation, optimization, canonical form.

The exporter fuses BatchNorm into the convolution or linear layer before it (W' = W * gamma / sqrt(var + eps)): a
factor per output channel, so zeros stay zeros and the weight keeps its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnxscript.optimizer
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn
from torch.export.dynamic_shapes import refine_dynamic_shapes_from_suggested_fixes

from n2nsurgery.core.errors import RunError, TraceError, first_line
from n2nsurgery.core.version import __version__
from n2nsurgery.export.capture.exporter_log import exporter_messages_logged
from n2nsurgery.export.capture.outputs import FlatOutputs, distinct, names_of

OPSET = 18
"""ai.onnx operator set: the one torch's translations are written in, so no version converter runs."""

IR_VERSION = 10
"""File format version, readable by ONNX Runtime 1.18 and newer."""

BATCH = "batch"
"""Name of the dynamic dimension 0 of every input."""

_SMALLEST = 2  # the batch that torch.export takes to be any; one of 1 is compared with the file
_TRIED = 255  # at the next size the file is compared with torch, which takes memory

TRANSPOSED = ".T"
"""Suffix of an initializer that holds a parameter transposed, as MatMul wants a linear layer's weight."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Captured:
    """An ONNX model. `branch`: the batch size from which the module runs other code, which the model does not hold."""

    model: ir.Model
    branch: int | None = None


def capture(module: nn.Module, inputs: Sequence[Tensor], input_names: Sequence[str]) -> Captured:
    """`module` as an ONNX model with a dynamic batch, without training-only parts and without traces of its making.

    `inputs` have a batch of at least 2 (a batch of 1 is indistinguishable from a constant); they are given by name
    where forward has arguments of all `input_names`, else in their order. Initializers that hold
    a parameter bear the parameter's name, with the suffix `.T` where it is stored transposed.

    Raises TraceError where torch cannot capture the module, RunError where an operator has no ONNX counterpart.
    For the caller to check: whether the batch came out dynamic, as the exporter may fix a dimension silently, and
    whether the model computes the same from `branch` on.
    """
    taken = (*input_names, *module.state_dict())
    output_names = distinct(names_of(module, inputs, input_names), taken=taken)
    with exporter_messages_logged():
        program, branch = _exported(module, inputs, input_names)
        model = _translated(program, input_names, output_names)
    _restore_names(model, module)
    _fold_transposed_parameters(model)
    with exporter_messages_logged():
        model = onnxscript.optimizer.optimize(model)
    return Captured(model=_canonical(model), branch=branch)


def _exported(
    module: nn.Module, inputs: Sequence[Tensor], input_names: Sequence[str]
) -> tuple[torch.export.ExportedProgram, int | None]:
    """The program for every batch size, or for those below the second value, from which the module runs other code."""
    flat = FlatOutputs(module, input_names).eval()
    try:
        return _program(flat, inputs, torch.export.Dim(BATCH)), None
    except torch._dynamo.exc.UserError as error:  # noqa: SLF001 - the only name this exception has
        largest = _largest(error, len(inputs[0]))
        if largest is None:
            raise TraceError(f"the model does not work for every batch size: {_cause(error)}") from error
    except Exception as error:
        raise _uncaptured(error) from error
    try:
        return _program(flat, inputs, torch.export.Dim(BATCH, max=largest)), largest + 1
    except Exception as error:
        raise _uncaptured(error) from error


def _uncaptured(error: Exception) -> TraceError:
    cause = _cause(error)
    advice = (
        "; which code runs may not depend on the values of a tensor: torch.where does without an `if`, and a submodule "
        "without that code can be exported alone"
        if "data-dependent" in cause
        else ""
    )
    return TraceError(f"torch.export cannot capture the model: {cause}{advice}")


def _program(flat: nn.Module, inputs: Sequence[Tensor], batch: torch.export.Dim) -> torch.export.ExportedProgram:
    shapes = (tuple({0: batch} for _ in inputs),)
    return torch.export.export(flat, tuple(inputs), dynamic_shapes=shapes, strict=False)


def _largest(error: Exception, given: int) -> int | None:
    """The batch size up to which one program serves, where that is all that `error` says against one for all."""
    suggested = str(error).partition("\n\n")[0]  # torch does not read what it writes behind
    try:
        (found,) = refine_dynamic_shapes_from_suggested_fixes(suggested, ({0: torch.export.Dim(BATCH)},))
    except Exception:  # noqa: BLE001 - whatever torch says of a message without such a suggestion
        return None
    batch = found[0]
    if not isinstance(batch, torch.export.Dim) or batch.min > _SMALLEST:
        return None
    largest = int(batch.max)
    return largest if given <= largest <= _TRIED else None


def _translated(
    program: torch.export.ExportedProgram, input_names: Sequence[str], output_names: Sequence[str]
) -> ir.Model:
    try:
        onnx_program = torch.onnx.export(
            program,
            input_names=input_names,
            output_names=output_names,
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        raise RunError(f"the model has no counterpart in ONNX opset {OPSET}: {_cause(error)}") from error
    if onnx_program is None:
        raise RunError("torch.onnx.export returned nothing; this version of torch is not supported")
    for value in onnx_program.model.graph.inputs:
        if value.shape is not None and isinstance(value.shape[0], ir.SymbolicDim):
            onnx_program.rename_axes({value.shape[0]: BATCH})
    return onnx_program.model


def _cause(error: BaseException) -> str:
    """What went wrong at the bottom of the chain of causes, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def _restore_names(model: ir.Model, module: nn.Module) -> None:
    """Initializers get the names of `named_parameters()`; of a shared parameter torch.export keeps the last name."""
    first: dict[int, str] = {}
    names = {}
    for name, tensor in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        names[FlatOutputs.PREFIX + name] = first.setdefault(id(tensor), name)
    for value in tuple(model.graph.initializers.values()):
        value.name = names.get(str(value.name), value.name)


def _fold_transposed_parameters(model: ir.Model) -> None:
    """Transpose(parameter) becomes an initializer with a name; the optimizer would fold it into an anonymous one."""
    for node in tuple(model.graph):
        if node.op_type != "Transpose" or not (source := node.inputs[0]) or source.const_value is None:
            continue
        name = f"{source.name}{TRANSPOSED}"
        if len(source.const_value.shape) != 2 or tuple(node.attributes.get_ints("perm", (1, 0))) != (1, 0):  # noqa: PLR2004
            continue
        if name not in model.graph.initializers:
            array = np.ascontiguousarray(source.const_value.numpy().T)
            tensor, shape = ir.tensor(array, name=name), ir.Shape(array.shape)
            value = ir.Value(name=name, const_value=tensor, shape=shape, type=ir.TensorType(tensor.dtype))
            model.graph.register_initializer(value)
        node.outputs[0].replace_all_uses_with(model.graph.initializers[name])
        model.graph.remove(node, safe=True)


def _canonical(model: ir.Model) -> ir.Model:
    """`model` without stack traces, paths and signatures, so that the same module gives the same bytes."""
    ClearMetadataAndDocStringPass()(model)
    for graph in (model.graph, *model.graph.subgraphs()):
        graph.metadata_props.clear()
        for value in (*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)):
            value.metadata_props.clear()
            value.doc_string = None
    model.metadata_props.clear()
    model.doc_string = None
    model.ir_version = IR_VERSION
    model.producer_name = "n2nsurgery"
    model.producer_version = __version__
    return model
