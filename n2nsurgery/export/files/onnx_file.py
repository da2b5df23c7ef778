"""An ONNX file appears complete and proven, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import DISK_ERRORS, disk_errors, ensure_writable, is_same
from n2nsurgery.export.files.sample_loop import in_loop

SUFFIX = ".onnx"
INLINE_LIMIT = 2_000_000_000
"""Weights beyond this many bytes go to a second file: protobuf ends at 2^31 - 1 for the whole model."""


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """Where a model lies, and where its weights lie if they do not fit into it (the model knows their name)."""

    model: Path

    @property
    def data(self) -> Path:
        """The external data file beside the model; present only above INLINE_LIMIT."""
        return self.model.with_name(f"{self.model.name}.data")

    @property
    def size(self) -> int:
        """Bytes of both files."""
        return sum(path.stat().st_size for path in (self.model, self.data) if path.exists())


def require_suffix(path: Path) -> None:
    """Raises UsageError where the name of an ONNX file does not end in `.onnx`, by which other commands know it."""
    if path.suffix.lower() != SUFFIX:
        raise UsageError(f"an ONNX file ends in {SUFFIX}: name it '{path}{SUFFIX}' in place of '{path}'")


def require_free(files: ModelFiles, *, overwrite: bool) -> None:
    """Raises UsageError where the model or its external data exists and may not be replaced."""
    ensure_writable(files.model, overwrite=overwrite)
    ensure_writable(files.data, overwrite=overwrite)


@contextmanager
def staged(files: ModelFiles, *, overwrite: bool = False) -> Iterator[ModelFiles]:
    """ModelFiles of the same names in a hidden folder beside `files`, to be written and checked.

    They move to their places where the block succeeds and are removed where it does not. The names stay the same
    because a model refers to its external data by name. Raises RunError where the folder cannot be written, UsageError
    where others are there at the end and `overwrite` is false; equal ones are kept.
    """
    target = files.model
    with disk_errors(target, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=target.parent, prefix=".staging-", ignore_cleanup_errors=True)
    with scratch as folder:
        staging = ModelFiles(model=Path(folder) / target.name)
        with disk_errors(target, Path(folder), only=DISK_ERRORS):
            yield staging
        with disk_errors(target, Path(folder)):
            if not overwrite and _is_equal(staging, files):
                return
            require_free(files, overwrite=overwrite)
            _publish(staging, files)


def _is_equal(one: ModelFiles, other: ModelFiles) -> bool:
    has_data = one.data.exists() or other.data.exists()
    return is_same(one.model, other.model) and (not has_data or is_same(one.data, other.data))


def _publish(staging: ModelFiles, files: ModelFiles) -> None:
    """Moves the weights first, so that no model appears without them; drops those of a replaced model last."""
    has_data = staging.data.exists()
    for source, target in ((staging.data, files.data), (staging.model, files.model)):
        if source.exists():
            with source.open("rb") as handle:
                os.fsync(handle.fileno())
            source.replace(target)
    if not has_data:
        files.data.unlink(missing_ok=True)


def write(model: ir.Model, files: ModelFiles, *, sample_loop: bool = False) -> None:
    """Writes `model`; its weights go to `files.data` where they exceed INLINE_LIMIT, and none stay in other files.

    `sample_loop`: a batch is computed sample by sample (sample_loop.py). Raises UsageError where an input or output has
    no dynamic batch for that, or the weights need a second file.
    """
    weights = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    if weights <= INLINE_LIMIT:
        ir.external_data.load_to_model(model)
    elif sample_loop:
        raise UsageError(
            f"needs all weights in one file; here they have more than {INLINE_LIMIT:,} bytes",
            field="sample_loop", joint=" ",
        )  # fmt: skip
    if sample_loop:
        onnx.save_model(in_loop(ir.to_proto(model)), files.model)
    else:
        ir.save(model, files.model, external_data=files.data.name if weights > INLINE_LIMIT else None)
