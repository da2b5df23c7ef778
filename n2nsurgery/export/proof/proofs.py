"""The chain of comparisons from a reference to the file that is written, each link with its own tolerance.

The reference is torch, or the file that is compressed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
from torch import Tensor

from n2nsurgery.core.errors import VerificationError
from n2nsurgery.export.files.onnx_file import ModelFiles, write
from n2nsurgery.export.proof.parity import (
    ONE_LEVEL_EACH,
    QUANTIZED,
    TOLERANCE,
    Outputs,
    file_outputs,
    require_numbers,
    require_parity,
)
from n2nsurgery.export.proof.report import Parity


class Proofs:
    """What has been computed so far, and how far apart the links are.

    `parity`: one line for each comparison, output and batch. `identical`: the last comparison in stock ONNX Runtime
    found the same bits; None where the file is the dense form itself. `tolerance`: of each link that rounds no weights.
    """

    def __init__(
        self,
        batches: Sequence[Sequence[Tensor]],
        outputs: tuple[str, ...],
        expected: Outputs,
        *,
        reference: str,
        tolerance: float = TOLERANCE,
    ) -> None:
        """Start from the outputs `expected` for `batches`, which `reference` computed and `outputs` names.

        Raises VerificationError where they hold NaN.
        """
        require_numbers(expected, outputs)
        self.outputs = outputs
        self.parity: list[Parity] = []
        self.identical: bool | None = None
        self.tolerance = tolerance
        self._batches = batches
        self._coded = False
        self._reference = reference
        self._expected = expected

    def dense_form(
        self, model: ir.Model, files: ModelFiles, name: str = "the dense form", tolerance: float | None = None
    ) -> None:
        """Write `model`, still dense, beside `files`, prove it, and make it the reference of what follows."""
        beside = ModelFiles(model=files.model.parent / "dense" / files.model.name)
        beside.model.parent.mkdir()
        write(model, beside)
        self._expected = self._link(beside.model, name, tolerance=tolerance)
        self._reference = name
        self._coded = True
        shutil.rmtree(beside.model.parent)

    def final(
        self, path: Path, libraries: Sequence[Path], *, integers: bool = False, sample_loop: bool = False
    ) -> None:
        """Prove the file at `path` without any library and, where there are some, with `libraries`.

        `integers`: layers of it round what they give to levels, each of which a runtime may miss by one. `sample_loop`:
        it computes a batch sample by sample.
        """
        try:
            actual = self._link(path, "the file", tolerance=QUANTIZED if integers else None)
        except VerificationError as error:
            if not sample_loop:
                raise
            raise VerificationError(
                f"{error}. It computes a batch sample by sample: leave out sample_loop for a network that mixes samples"
            ) from error
        if integers:
            self._expected, self._reference = actual, "the file"
        elif self._coded:
            self.identical = all(
                np.array_equal(ours, theirs, equal_nan=True)
                for batch, reference in zip(actual, self._expected, strict=True)
                for ours, theirs in zip(batch, reference, strict=True)
            )
        if libraries:
            tolerance = ONE_LEVEL_EACH if integers else None
            self._link(path, "the file in the sparse runtime", libraries=libraries, tolerance=tolerance)

    def _link(
        self, path: Path, subject: str, libraries: Sequence[Path] = (), tolerance: float | None = None
    ) -> Outputs:
        actual = file_outputs(path, self._batches, libraries)
        self.parity += require_parity(
            actual, self._expected, outputs=self.outputs, batches=self._batches,
            subject=subject, reference=self._reference,
            tolerance=self.tolerance if tolerance is None else tolerance,
        )  # fmt: skip
        return actual
