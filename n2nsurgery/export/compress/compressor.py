"""Compression of an ONNX file: the weights that are zero are left out, and the file computes the same.

read -> normal form -> (threshold) -> the path of deployment.py, with the file that was read as the reference
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError, VerificationError, first_line
from n2nsurgery.core.files import sha256
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.export.compress.config import CompressConfig
from n2nsurgery.export.compress.foreign import ForeignModel, read_foreign
from n2nsurgery.export.compress.report import CompressReport
from n2nsurgery.export.deployment import Deployment, deployment_of, require_measurable, write_proven
from n2nsurgery.export.earlier import may_be_equal
from n2nsurgery.export.files.load import data_files, load_model, opset_of, source_size
from n2nsurgery.export.files.onnx_file import ModelFiles, staged
from n2nsurgery.export.ort.bench_inputs import sample_feeds
from n2nsurgery.export.ort.providers import session
from n2nsurgery.export.proof.parity import Outputs
from n2nsurgery.export.proof.proofs import Proofs
from n2nsurgery.export.proof.verify import require_valid
from n2nsurgery.export.sparse.threshold import zero_below
from n2nsurgery.export.sparse.weight_record import WeightRecord

DEFAULT = CompressConfig()
"""A portable file with every weight as it is."""

_SHOWN_REASONS = 3


def compress_file(  # noqa: PLR0913 - what to compress, where to, and how
    source: Path,
    path: Path,
    *,
    config: CompressConfig = DEFAULT,
    libraries: Sequence[Path] = (),
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> CompressReport:
    """Write the model in `source` to `path` with its zeros left out, and return what was proven of the file.

    Nothing is written where a proof fails or nothing is gained. `libraries`: as for `export_module`. Raises UsageError
    for a file without enough zeros (with the reasons), one that was compressed before, a `path` with another content or
    inputs that cannot be made up; VerificationError where `source` is damaged or the file does not reproduce it.
    """
    require_measurable(config, libraries)
    target = ModelFiles(model=path)
    progress("reading", 0.0)
    foreign = read_foreign(source)
    _require_apart(source, target)
    metadata = {"source": _facts(source, foreign, config)}
    there = may_be_equal(target, metadata, config, overwrite=overwrite)
    progress("running the original", 0.2)
    original = _run(source, config)
    with staged(target, overwrite=overwrite) as files:
        proofs = Proofs(original.batches, original.outputs, original.computed, reference="the original")
        if config.threshold is not None:
            _without_small_weights(foreign.model, config.threshold, files, proofs)
        progress("coding the weights", 0.4)
        deployment = deployment_of(foreign.model, config, metadata, libraries=libraries)
        _require_gain(deployment, source)
        progress("writing", 0.6)
        write_proven(deployment, files, proofs)
        progress("checking", 0.8)
        notes = (*foreign.notes, *_checked(source, files.model))
        proofs.final(files.model, libraries, sample_loop=deployment.sample_loop)
        proto = load_model(files.model, weights=False)
        return CompressReport(
            source=source,
            source_size=source_size(source),
            path=path,
            external_data=target.data if files.data.exists() else None,
            size=files.size,
            config=config,
            opset=opset_of(proto),
            ir_version=proto.ir_version,
            inputs=tuple(value.name for value in proto.graph.input),
            outputs=original.outputs,
            nodes=len(proto.graph.node),
            parity=tuple(proofs.parity),
            identical=proofs.identical,
            weights=deployment.records,
            notes=notes,
            already_there=there,
        )


def _require_apart(source: Path, target: ModelFiles) -> None:
    """Raise UsageError where the output would replace the weights of `source`, but not `source` itself."""
    if not target.data.is_file() or target.model.resolve() == source.resolve():
        return
    if any(file.samefile(target.data) for file in data_files(source)):
        raise UsageError(
            f"'{target.data}' holds the weights of '{source}', and would be replaced with '{target.model}': choose"
            " another output"
        )


def _without_small_weights(model: ir.Model, threshold: float, files: ModelFiles, proofs: Proofs) -> None:
    """Set small weights of `model` to zero; how far this takes its output from the original's is told, not judged."""
    proofs.dense_form(model, files)
    zero_below(model.graph, threshold)
    proofs.dense_form(model, files, f"the original without weights below {threshold:g}", inf)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """Inputs that the original takes, and what stock ONNX Runtime computes of them."""

    batches: list[list[Tensor]]
    outputs: tuple[str, ...]
    computed: Outputs


def _run(source: Path, config: CompressConfig) -> _Run:
    """The original, run; UsageError where no inputs can be made up for it, VerificationError where it computes NaN."""
    opened = session(source)
    for value in opened.get_outputs():
        if not value.type.startswith("tensor(") or value.type == "tensor(string)":
            raise UsageError(f"output '{value.name}' of '{source}' is a {value.type}; only numbers can be compared")
    feeds = sample_feeds(opened, config.input_shapes, batches=config.sample_loop)
    computed = []
    for feed in feeds:
        try:
            computed.append(opened.run(None, feed))
        except Exception as error:  # ONNX Runtime's exceptions share no other base class
            shown = ", ".join(f"{name}={'x'.join(map(str, array.shape))}" for name, array in feed.items())
            raise UsageError(
                f"'{source}' does not run with {shown}: {error}. Say the shape of each input, batch included",
                field="input_shapes",
            ) from error
    if not any(np.isfinite(array).any() for outputs in computed for array in outputs):
        raise VerificationError(f"'{source}' computes no finite number from noise, so that nothing can be proven")
    return _Run(
        batches=[[torch.from_numpy(array) for array in feed.values()] for feed in feeds],
        outputs=tuple(value.name for value in opened.get_outputs()),
        computed=computed,
    )


def _facts(source: Path, foreign: ForeignModel, config: CompressConfig) -> dict[str, Any]:
    """What is known of the file that was read, for the metadata of the one that is written."""
    return {
        "file": source.name,
        "sha256": sha256(source),
        "producer": foreign.producer,
        "opset": foreign.opset,
        "ir_version": foreign.ir_version,
        "threshold": config.threshold,
        "notes": list(foreign.notes),
    }


def _require_gain(deployment: Deployment, source: Path) -> None:
    """Raise UsageError, with the most frequent reasons, where no weight is coded."""
    records: tuple[WeightRecord, ...] = deployment.records
    if any(record.code != "dense" for record in records):
        return
    reasons = Counter(record.reason for record in records).most_common(_SHOWN_REASONS)
    shown = "; ".join(f"{count} times: {reason}" for reason, count in reasons) or "it has no weights of two dimensions"
    raise UsageError(
        f"'{source}' gains nothing, so no file was written: all {len(records)} weights stay dense ({shown})"
    )


def _checked(source: Path, written: Path) -> tuple[str, ...]:
    """A note where ONNX's checker refuses both files, else nothing; VerificationError for `written` alone."""
    try:
        require_valid(written)
    except VerificationError as refused:
        try:
            require_valid(source)
        except VerificationError:
            return (f"ONNX's checker refuses the original, and the file as well: {first_line(refused)}",)
        raise
    return ()
