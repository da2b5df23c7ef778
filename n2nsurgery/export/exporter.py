"""Export of a module to one ONNX file.

capture -> (compaction) -> coding -> metadata -> temporary file -> checker, interface, zero pattern, ONNX Runtime with
and without the sparse runtime -> moved into place
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.export.capture.capture import capture
from n2nsurgery.export.capture.outputs import require_callable
from n2nsurgery.export.compaction.channel_folding import Compaction, compact
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.export.deployment import deployment_of, require_measurable, write_proven
from n2nsurgery.export.earlier import may_be_equal
from n2nsurgery.export.files.load import load_model, opset_of
from n2nsurgery.export.files.onnx_file import ModelFiles, staged
from n2nsurgery.export.integers.ranges import ALL
from n2nsurgery.export.proof.parity import ExampleBatches, tolerance_of, torch_outputs
from n2nsurgery.export.proof.proofs import Proofs
from n2nsurgery.export.proof.report import ExportReport
from n2nsurgery.export.proof.verify import require_interface, require_pruned_zero, require_valid
from n2nsurgery.export.sparse.stored_weights import tensors_of

DEFAULT = ExportConfig()
"""A portable file in fp32."""


def export_module(  # noqa: PLR0913 - what to export, where to, and how to treat what is there
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    input_names: Sequence[str],
    *,
    path: Path,
    metadata: Mapping[str, Any],
    masks: Mapping[str, Tensor] | None = None,
    config: ExportConfig = DEFAULT,
    libraries: Sequence[Path] = (),
    calibration: Iterable[Sequence[Tensor]] | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> ExportReport:
    """Writes `module` to `path` and returns what was proven of the file; nothing appears where a proof fails.

    `module` is in eval mode, on the CPU, in float32, float64 or float16, as which its weights are stored.
    `example_inputs` are its inputs with the batch as dimension 0, given by name where forward has arguments of all
    `input_names`, else in order; that dimension stays dynamic in the file. `metadata` becomes one JSON document in the
    file. `masks` maps parameter names to boolean tensors (False = pruned). `config`: its form; its `report` is the
    caller's. `libraries`: custom operators (the sparse runtime) that the file is proven with besides, and that layers
    are measured with. `progress` sees each stage begin. `calibration`: batches of inputs in their order, which make
    layers compute with integers; `values` is int8.

    Raises UsageError for an unfit module, an existing file with another content or nothing to measure, TraceError where
    torch cannot capture the module, VerificationError where the file does not reproduce it, RunError where it cannot be
    translated or written.
    """
    _require_exportable(module, example_inputs, input_names)
    _require_possible(config, libraries, calibrated=calibration is not None)
    target = ModelFiles(model=path)
    there = may_be_equal(target, metadata, config, overwrite=overwrite)
    progress("capturing the graph", 0.0)
    model, batches = _captured(module, _batches(example_inputs), input_names)
    progress("coding the weights", 0.5)
    compaction = compact(model.graph) if config.compact else Compaction()
    calibrated = calibration is not None
    deployment = deployment_of(model, config, metadata, libraries, compaction=compaction, calibrated=calibrated)
    with staged(target, overwrite=overwrite) as files:
        progress("writing", 0.6)
        proofs = _proofs(module, model, batches, input_names)
        write_proven(deployment, files, proofs, _arrays(calibration or ()), percentile=config.percentile)
        progress("checking", 0.8)
        require_valid(files.model)
        proto = load_model(files.model)
        require_interface(proto, input_names)
        masked, unchecked = require_pruned_zero(tensors_of(proto), deployment.records, masks or {}, compaction.kept)
        progress("comparing with torch in ONNX Runtime", 0.9)
        proofs.final(files.model, libraries, integers=bool(deployment.integers), sample_loop=deployment.sample_loop)
        return ExportReport(
            path=path,
            external_data=target.data if files.data.exists() else None,
            size=files.size,
            config=config,
            opset=opset_of(proto),
            ir_version=proto.ir_version,
            inputs=tuple(input_names),
            outputs=proofs.outputs,
            nodes=len(proto.graph.node),
            tolerance=proofs.tolerance,
            parity=tuple(proofs.parity),
            identical=proofs.identical,
            masked=masked,
            unchecked=unchecked,
            weights=deployment.records,
            already_there=there,
            removed_channels=compaction.removed,
        )


def _require_possible(config: ExportConfig, libraries: Sequence[Path], *, calibrated: bool) -> None:
    """Raise UsageError where the options want what is not there."""
    if calibrated and config.values != "int8":
        raise UsageError(f"is for the values int8, not {config.values}", field="calibration", joint=" ")
    if config.percentile != ALL and not calibrated:
        raise UsageError("is for calibrated layers: give calibration data, too", field="percentile", joint=" ")
    require_measurable(config, libraries)


def _arrays(batches: Iterable[Sequence[Tensor]]) -> Iterator[list[NDArray[Any]]]:
    for inputs in batches:
        yield [tensor.detach().cpu().numpy() for tensor in inputs]


def _proofs(module: nn.Module, model: ir.Model, batches: ExampleBatches, input_names: Sequence[str]) -> Proofs:
    """Comparisons that begin with what torch computes of `module`."""
    outputs = tuple(str(value.name) for value in model.graph.outputs)
    return Proofs(batches, outputs, torch_outputs(module, batches, input_names), reference="torch",
                  tolerance=tolerance_of(module))  # fmt: skip


def _batches(example: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
    """The first sample alone, the example where it holds more, and the example with one more sample."""
    single = [tuple(tensor[:1] for tensor in example)] if any(len(tensor) > 1 for tensor in example) else []
    return (*single, tuple(example), tuple(_one_more_sample(tensor) for tensor in example))


def _captured(
    module: nn.Module, batches: ExampleBatches, input_names: Sequence[str]
) -> tuple[ir.Model, ExampleBatches]:
    """The model, and the batches to compare it on: one more of the size from which `module` runs other code."""
    captured = capture(module, batches[-1], input_names)
    if captured.branch is None:
        return captured.model, batches
    return captured.model, (*batches, tuple(_samples(tensor, captured.branch) for tensor in batches[-1]))


def _samples(tensor: Tensor, count: int) -> Tensor:
    """The samples of `tensor` again and again, `count` of them."""
    return tensor[torch.arange(count) % len(tensor)]


def _one_more_sample(tensor: Tensor) -> Tensor:
    """`tensor` with its first sample appended, mirrored along every dimension: a different, equally valid input."""
    first = tensor[:1]
    return torch.cat([tensor, first.flip(tuple(range(1, tensor.dim())))])


def _require_exportable(module: nn.Module, inputs: Sequence[Tensor], input_names: Sequence[str]) -> None:
    if len(inputs) != len(input_names):
        raise UsageError(f"{len(inputs)} example inputs, but {len(input_names)} input names")
    require_callable(module, input_names)
    if not inputs or any(tensor.dim() == 0 or tensor.shape[0] == 0 for tensor in inputs):
        raise UsageError("export needs at least one example input, each with a batch of at least one sample")
    if training := [name or "the model itself" for name, part in module.named_modules() if part.training]:
        raise UsageError(f"export needs a model in eval mode; '{training[0]}' is in training mode: call .eval()")
    for name, tensor in (*module.named_parameters(), *module.named_buffers(), *zip(input_names, inputs, strict=True)):
        if tensor.device.type != "cpu":
            raise UsageError(f"'{name}' is on {tensor.device}; move the model and its inputs to the CPU to export")
        if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
            raise UsageError(
                f"'{name}' is {tensor.dtype}, which ONNX Runtime does not compute with on a CPU; convert the model and"
                " its inputs with .float() or .half() to export"
            )
