"""From a file with zeros, of any exporter, to a small one that computes the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from n2nsurgery.core.config.signature import keywords_of, require_known
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import sha256
from n2nsurgery.core.progress import SILENT, Progress, part_of
from n2nsurgery.export.compress.compressor import DEFAULT, compress_file
from n2nsurgery.export.compress.config import CompressConfig, CompressOptions
from n2nsurgery.export.compress.report import CompressReport
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.export.files.onnx_file import SUFFIX
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.pipelines.deploy.export import export_plain
from n2nsurgery.pipelines.deploy.plain_module import set_small_to_zero
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime


@keywords_of(CompressConfig, CompressOptions)
def compress(
    source: str | Path,
    output: str | Path | None = None,
    *,
    config: CompressConfig | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
    **options: Unpack[CompressOptions],
) -> CompressReport:
    """Write a small file that computes what `source` computes, and return what was proven of it.

    `source`: an .onnx file of any exporter, with weights that are zero; or a file of weights (.safetensors, or .pth
    with tensors alone) of the network called `model`. `output`: `<name>-sparse.onnx` beside it where
    None. `options`: the fields of CompressConfig; or all of them in one `config`, of which `options` replace some.

        compress("pruned.onnx", "small.onnx", values="fp16")

    No weight is changed unless `threshold` or `values` asks for it. The file appears only after ONNX Runtime has
    reproduced the output of `source`. Raises UsageError where nothing is gained, with the reasons, and where the output
    exists with another content; VerificationError where `source` is damaged or the small file does not reproduce it.
    """
    require_known(options, CompressOptions, "compress")
    return run(
        Path(source),
        Path(output) if output is not None else None,
        config=replace(config or DEFAULT, **options),
        overwrite=overwrite,
        progress=progress,
    )


def run(
    source: Path,
    output: Path | None = None,
    *,
    config: CompressConfig = DEFAULT,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> CompressReport:
    """Compress `source` into `output`; see `compress`."""
    path = output or source.with_name(f"{source.stem}-sparse{SUFFIX}")
    whole = source.suffix.lower() == SUFFIX
    if whole and config.model is not None:
        raise UsageError(f"is for files of weights, and '{source}' is a whole network: leave it out", field="model")
    if whole or source.is_dir():  # reading says what is wrong with a folder
        return compress_file(
            source, path, config=config, libraries=sparse_runtime(), overwrite=overwrite, progress=progress
        )
    return _weights(source, path, config, overwrite=overwrite, progress=progress)


def _weights(
    source: Path, path: Path, config: CompressConfig, *, overwrite: bool, progress: Progress
) -> CompressReport:
    """Export the network that `config` names with the weights in `source`."""
    model = config.model
    if model is None:
        raise UsageError(
            f"is needed: '{source}' is no {SUFFIX} file, and weights alone do not say which network they belong to",
            field="model", joint=" ",
        )  # fmt: skip
    progress(f"building {model}", 0.0)
    bundle = resolve_model(
        model, seed=0, weights=str(source), weights_key=config.weights_key, weights_prefix=config.weights_prefix,
        num_classes=config.num_classes, input_size=config.input_size,
    )  # fmt: skip
    if config.threshold is not None:
        set_small_to_zero(bundle.module, config.threshold)
    report = export_plain(
        bundle.module, path, example_inputs=bundle.example_inputs,
        config=ExportConfig(format=config.format, values=config.values, packed=config.packed,
            sample_loop=config.sample_loop, measure=config.measure),
        source={"model": model, "file": source.name, "sha256": sha256(source), "threshold": config.threshold},
        overwrite=overwrite, progress=part_of(progress, 0.2, 1),
    )  # fmt: skip
    coded = any(weight.code != "dense" for weight in report.weights)
    return CompressReport(
        source=source, source_size=source.stat().st_size, path=report.path, external_data=report.external_data,
        size=report.size, config=config, opset=report.opset, ir_version=report.ir_version, inputs=report.inputs,
        outputs=report.outputs, nodes=report.nodes, parity=report.parity, identical=report.identical,
        weights=report.weights, already_there=report.already_there,
        notes=() if coded else ("no weight has enough zeros to be coded: the file is dense",),
    )  # fmt: skip
