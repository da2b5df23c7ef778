"""From an artifact, or a pruned network, to an ONNX file."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from n2nsurgery.core.files import ensure_writable
from n2nsurgery.core.progress import SILENT, Progress, part_of
from n2nsurgery.export.exporter import export_module
from n2nsurgery.export.proof.report import ExportReport
from n2nsurgery.export.sparse.formats import ExportFormat
from n2nsurgery.pipelines.connectivity.summary import connectivity_summary
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime
from n2nsurgery.pipelines.saved.load import load
from n2nsurgery.pipelines.saved.run_folder import MODEL, is_run, newest_result
from n2nsurgery.surgery.example_inputs import examples
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


def export_onnx(  # noqa: PLR0913 - every argument is an option of the command
    pruned: PrunedModel,
    path: str | Path,
    *,
    format: str = "portable",  # noqa: A002 - the option's name
    values: str = "fp32",
    compact: bool = False,
    measure: bool = False,
    report: bool = False,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> ExportReport:
    """Write `pruned` to `path` as an ONNX file with a dynamic batch, and return what was proven of it.

    `format`: `portable` (small everywhere, fast with the sparse runtime), `inlined` (small, standard operators only)
    or `dense`. `values`: kept weights as `fp32`, `fp16` or `int8`. `compact`: remove channels that are provably
    constant or unused. `measure`: choose sparse or dense layer by layer by measuring both on this machine, which needs
    the sparse runtime; otherwise the choice is predicted from the network alone, so that an export can be repeated.
    `report`: measure the network's connectivity and put a summary of it into the metadata.

    The plan and its outcome are in the model's metadata under the key `n2nsurgery`. The file appears only after ONNX
    Runtime has reproduced torch's output. Raises VerificationError where it does not, or where pruned weights of
    `pruned` are no longer zero, and UsageError where the file exists.
    """
    wanted = ExportFormat(form=format, values=values, compact=compact)  # type: ignore[arg-type] # checked there
    require_masked(pruned.module, pruned.masks)  # a copy would set them to zero, and be another network
    module = copy.deepcopy(pruned.module).cpu().eval()
    inputs = pruned.plan.inputs
    return export_module(
        module,
        examples(inputs),
        [spec.name for spec in inputs],
        path=Path(path),
        metadata={
            "plan": pruned.plan.to_json(),
            "summary": summary(pruned.plan, pruned.masks, pruned.record),
            **({"connectivity": connectivity_summary(pruned)} if report else {}),
        },
        masks=pruned.masks,
        format=wanted,
        libraries=sparse_runtime(),
        measure=measure,
        overwrite=overwrite,
        progress=progress,
    )


def run(  # noqa: PLR0913 - every argument is an option of the command
    artifact: Path | None = None,
    output: Path | None = None,
    *,
    format: str = "portable",  # noqa: A002 - the option's name
    values: str = "fp32",
    compact: bool = False,
    measure: bool = False,
    report: bool = False,
    overwrite: bool = False,
    allow_import: bool = False,
    last: bool = False,
    progress: Progress = SILENT,
) -> ExportOutcome:
    """Export an artifact or a run by its folder (the newest in `exported/` and `runs/` where None) to `output`.

    Without `output`, an artifact goes to `<folder>.onnx`, a run to `<folder>/model.onnx`: its best weights, or with
    `last` its newest. `format`, `values`, `compact`, `measure` and `report` as for `export_onnx`.
    """
    ExportFormat(form=format, values=values, compact=compact)  # type: ignore[arg-type] # refuse before the work starts
    folder = artifact if artifact is not None else newest_result()
    path = output or (folder / MODEL if is_run(folder) else folder.with_name(f"{folder.name}.onnx"))
    ensure_writable(path, overwrite=overwrite)
    progress(f"loading {folder.name}", 0.1)
    pruned = load(folder, allow_import=allow_import, last=last)
    exported = export_onnx(
        pruned, path, format=format, values=values, compact=compact, measure=measure, report=report,
        overwrite=overwrite,
        progress=part_of(progress, 0.2, 1),
    )  # fmt: skip
    return ExportOutcome(artifact=folder, report=exported)
