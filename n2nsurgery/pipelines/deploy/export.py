"""From an artifact, or a pruned network, to an ONNX file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from torch import Tensor, nn

from n2nsurgery.core.config.signature import keywords_of, require_known
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import named
from n2nsurgery.core.progress import SILENT, Progress, part_of
from n2nsurgery.data.files.npz_file import read_npz
from n2nsurgery.export.config import ExportConfig, ExportOptions
from n2nsurgery.export.earlier import may_be_equal
from n2nsurgery.export.exporter import DEFAULT, export_module
from n2nsurgery.export.files.onnx_file import ModelFiles
from n2nsurgery.export.proof.report import ExportReport
from n2nsurgery.pipelines.connectivity.summary import connectivity_summary
from n2nsurgery.pipelines.deploy.calibration import CalibrationRequest, calibration_batches
from n2nsurgery.pipelines.deploy.plain_module import inputs_for, prepared, zero_masks
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime
from n2nsurgery.pipelines.saved.load import load
from n2nsurgery.pipelines.saved.run_folder import MODEL, is_run, newest_result
from n2nsurgery.surgery.example_inputs import examples, given_examples
from n2nsurgery.surgery.proof import require_masked
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.summary import summary


@dataclass(frozen=True, kw_only=True)
class ExportOutcome:
    """What was exported, and the report on the file."""

    artifact: Path
    report: ExportReport

    def to_json(self) -> dict[str, Any]:
        """The document that `export --json` prints."""
        return {
            "artifact": str(self.artifact),
            "onnx": str(self.report.path),
            "bytes": self.report.size,
            "max_relative_difference": max(line.difference for line in self.report.parity),
            **self.report.to_json(),
        }


@keywords_of(ExportConfig, ExportOptions)
def export_onnx(  # noqa: PLR0913 - what to export, where to, compared on what, and how
    pruned: PrunedModel | nn.Module,
    path: str | Path,
    *,
    example_inputs: Any = None,  # noqa: ANN401 - any input that a module takes
    calibration: Iterable[Any] | None = None,
    config: ExportConfig | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
    **options: Unpack[ExportOptions],
) -> ExportReport:
    """Write `pruned` to `path` as an ONNX file with a dynamic batch, and return what was proven of it.

    `pruned`: what `apply` or `load` returned, or any module with zeros, pruned by whatever tool; masks of
    torch.nn.utils.prune are multiplied in.
    `example_inputs`: what the file is compared with torch on: a tensor, positional inputs, or inputs by name, batch
    first. A plain module needs them (a batch of at least one sample, as for `apply`). Without them a pruned model gets
    seeded noise, and ones and zeros in turn for integers and booleans.
    `calibration`: batches of inputs, each as `example_inputs`. With them and `values="int8"` layers compute with
    integers, scaled by the ranges that their tensors take on these inputs.
    `options`: the fields of ExportConfig (`format`, `values`, `packed`, `percentile`, `compact`, `measure`,
    `report`); or all of them in one `config`, of which `options` replace some.

        export_onnx(pruned, "net.onnx", values="int8", compact=True)

    The plan and its outcome are in the model's metadata under the key `n2nsurgery`. The file appears only after ONNX
    Runtime has reproduced torch's output. Raises VerificationError where it does not, or where pruned weights of
    `pruned` are no longer zero, UsageError where another file is there or `measure` has no sparse runtime, TraceError
    where torch cannot capture the model, and RunError where it cannot be translated or written.
    """
    require_known(options, ExportOptions, "export_onnx")
    config = replace(config or DEFAULT, **options)
    if isinstance(pruned, nn.Module):
        return export_plain(
            pruned, Path(path), example_inputs=example_inputs, calibration=calibration, config=config,
            overwrite=overwrite, progress=progress,
        )  # fmt: skip
    require_masked(pruned.module, pruned.masks)  # a copy would set them to zero, and be another network
    module, masks = pruned.plain()
    inputs = pruned.plan.inputs
    return export_module(
        module,
        examples(inputs) if example_inputs is None else given_examples(inputs, example_inputs),
        [spec.name for spec in inputs],
        path=Path(path),
        metadata={
            "plan": pruned.plan.to_json(),
            "summary": summary(pruned.plan, pruned.masks, pruned.record),
            **({"connectivity": connectivity_summary(pruned)} if config.report else {}),
        },
        masks=masks,
        config=config,
        libraries=sparse_runtime(),
        calibration=None
        if calibration is None
        else (given_examples(inputs, batch, field="calibration") for batch in calibration),
        overwrite=overwrite,
        progress=progress,
    )


def export_plain(  # noqa: PLR0913 - what to export, where to, and how
    module: nn.Module,
    path: Path,
    *,
    example_inputs: Any,  # noqa: ANN401 - any input that a module takes
    calibration: Iterable[Any] | None = None,
    config: ExportConfig = DEFAULT,
    source: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> ExportReport:
    """Write a module that no operation of ours made to `path`; errors as `export_onnx`.

    `source`: what is known of where it comes from, for the metadata.
    """
    if config.report:
        raise UsageError(
            "is for pruned models; `n2nsurgery report FILE` reads it off the file", field="report", joint=" "
        )
    plain = prepared(module)
    inputs = inputs_for(plain, example_inputs)
    return export_module(
        plain,
        [tensor.detach().cpu() for tensor in inputs.values()],
        list(inputs),
        path=path,
        metadata={"source": {"model": type(module).__name__, **(source or {})}},
        masks=zero_masks(plain),
        config=config,
        libraries=sparse_runtime(),
        calibration=None if calibration is None else (_tensors(plain, batch) for batch in calibration),
        overwrite=overwrite,
        progress=progress,
    )


def _tensors(plain: nn.Module, batch: Any) -> list[Tensor]:  # noqa: ANN401 - any input that a module takes
    return [tensor.detach().cpu() for tensor in inputs_for(plain, batch).values()]


def run(  # noqa: PLR0913 - where from, where to, and how
    artifact: Path | None = None,
    output: Path | None = None,
    *,
    example: Path | None = None,
    calibration: CalibrationRequest | None = None,
    config: ExportConfig = DEFAULT,
    overwrite: bool = False,
    allow_import: bool = False,
    last: bool = False,
    progress: Progress = SILENT,
) -> ExportOutcome:
    """Export an artifact or a run by its folder (the newest in `exported/` and `runs/` where None) to `output`.

    `example`: an .npz file with an array for each input, by name. `calibration`: the samples from which ranges of
    integer layers are taken. Without `output`, an artifact goes to
    `<folder>.onnx`, a run to `<folder>/model.onnx`: its best weights, or with `last` its newest.
    """
    folder = named(artifact) if artifact is not None else newest_result()
    path = output or (folder / MODEL if is_run(folder) else folder.parent / f"{folder.name}.onnx")
    may_be_equal(ModelFiles(model=path), {}, config, overwrite=overwrite)
    progress(f"loading {folder.name}", 0.1)
    pruned = load(folder, allow_import=allow_import, last=last)
    names = tuple(spec.name for spec in pruned.plan.inputs)
    exported = export_onnx(
        pruned, path, example_inputs=None if example is None else read_npz(example, names),
        calibration=None if calibration is None else calibration_batches(
            calibration, folder, pruned.plan, allow_import=allow_import
        ),
        config=config, overwrite=overwrite,
        progress=part_of(progress, 0.2, 1),
    )  # fmt: skip
    return ExportOutcome(artifact=folder, report=exported)
