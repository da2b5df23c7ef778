"""The chain of comparisons from torch to the file that is written, each link with its own tolerance."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor, nn

from n2nsurgery.export.config import Values
from n2nsurgery.export.files.onnx_file import ModelFiles, write
from n2nsurgery.export.proof.parity import TOLERANCE, file_outputs, require_parity, rounding_tolerance, torch_outputs
from n2nsurgery.export.proof.report import Parity

Outputs = list[list[NDArray[Any]]]


class Proofs:
    """What has been computed so far, and how far apart the links are.

    `parity`: one line for each comparison, output and batch. `identical`: the last comparison in stock ONNX Runtime
    found the same bits; None where the file is the dense form itself.
    """

    def __init__(
        self,
        module: nn.Module,
        batches: Sequence[Sequence[Tensor]],
        *,
        inputs: Sequence[str],
        outputs: tuple[str, ...],
    ) -> None:
        """Start from what `module` computes for `batches`; `inputs` and `outputs` are names."""
        self.outputs = outputs
        self.parity: list[Parity] = []
        self.identical: bool | None = None
        self._batches = batches
        self._reference = "torch"
        self._expected: Outputs = torch_outputs(module, batches, inputs)

    def dense_form(self, model: ir.Model, files: ModelFiles, values: Values = "fp32") -> None:
        """Write `model`, still dense, beside `files`, prove it, and make it the reference of what follows."""
        beside = ModelFiles(model=files.model.parent / "dense" / files.model.name)
        beside.model.parent.mkdir()
        write(model, beside)
        name = "the dense form" if values == "fp32" else f"the dense form in {values}"
        self._expected = self._link(beside.model, name, tolerance=rounding_tolerance(values))
        self._reference = name
        shutil.rmtree(beside.model.parent)

    def final(self, path: Path, libraries: Sequence[Path]) -> None:
        """Prove the file at `path` without any library and, where there are some, with `libraries`."""
        actual = self._link(path, "the file")
        if self._reference != "torch":
            self.identical = all(
                np.array_equal(ours, theirs, equal_nan=True)
                for batch, reference in zip(actual, self._expected, strict=True)
                for ours, theirs in zip(batch, reference, strict=True)
            )
        if libraries:
            self._link(path, "the file in the sparse runtime", libraries=libraries)

    def _link(self, path: Path, subject: str, libraries: Sequence[Path] = (), tolerance: float = TOLERANCE) -> Outputs:
        actual = file_outputs(path, self._batches, libraries)
        self.parity += require_parity(
            actual, self._expected, outputs=self.outputs, batches=self._batches,
            subject=subject, reference=self._reference, tolerance=tolerance,
        )  # fmt: skip
        return actual
