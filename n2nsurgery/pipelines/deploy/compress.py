"""From a file with zeros, of any exporter, to a small one that computes the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from n2nsurgery.core.config.signature import keywords_of, require_known
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.export.compress.compressor import DEFAULT, compress_file
from n2nsurgery.export.compress.config import CompressConfig, CompressOptions
from n2nsurgery.export.compress.report import CompressReport
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime

ONNX = ".onnx"


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

    `source`: an .onnx file of any exporter, with weights that are zero. `output`: `<name>-sparse.onnx` beside it where
    None. `options`: the fields of CompressConfig; or all of them in one `config`, of which `options` replace some.

        compress("pruned.onnx", "small.onnx", values="fp16")

    No weight is changed unless `threshold` or `values` asks for it. The file appears only after ONNX Runtime has
    reproduced the output of `source`. Raises UsageError where nothing is gained, with the reasons, and where the output
    exists; VerificationError where `source` is damaged or the small file does not reproduce it.
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
    path = output or source.with_name(f"{source.stem}-sparse{ONNX}")
    if source.suffix == ONNX:
        if config.model is not None:
            raise UsageError(f"is for files of weights, and '{source}' is a whole network: leave it out", field="model")
        return compress_file(
            source, path, config=config, libraries=sparse_runtime(), overwrite=overwrite, progress=progress
        )
    raise UsageError(f"'{source}' is no {ONNX} file")
