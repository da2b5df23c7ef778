"""From an ONNX graph with zeros to the written and proven file: the same path for `export` and `compress`.

coding -> metadata -> dense form, proven -> the form that was asked for -> file -> proven without and with the library
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import onnx_ir as ir

from n2nsurgery.core.errors import UsageError
from n2nsurgery.export.codec.values import LARGEST_INT8, LARGEST_MULTIPLIED
from n2nsurgery.export.compaction.channel_folding import Compaction
from n2nsurgery.export.config import Form, Values
from n2nsurgery.export.files import metadata as metadata_document
from n2nsurgery.export.files.onnx_file import ModelFiles, write
from n2nsurgery.export.formats import apply_form
from n2nsurgery.export.integers.layers import IntegerLayer, with_integers
from n2nsurgery.export.integers.ranges import Batch, ranges
from n2nsurgery.export.integers.rewriting import rewrite_integers
from n2nsurgery.export.proof.parity import ROUNDING
from n2nsurgery.export.proof.proofs import Proofs
from n2nsurgery.export.sparse.layer_race import race_with
from n2nsurgery.export.sparse.weight_coding import WeightCoding, codings, rounded
from n2nsurgery.export.sparse.weight_record import WeightRecord

_NOTHING_REMOVED = Compaction()


class CodingOptions(Protocol):
    """The options that ExportConfig and CompressConfig have in common."""

    @property
    def format(self) -> Form:
        """Which operators the file has."""

    @property
    def values(self) -> Values:
        """What coded weights are stored as."""

    @property
    def packed(self) -> bool:
        """Whether values of float32 are packed."""

    @property
    def sample_loop(self) -> bool:
        """Whether a batch is computed sample by sample."""

    @property
    def measure(self) -> bool:
        """Whether layers are measured."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Deployment:
    """A dense model, what is to become of each of its weights, and the metadata that will say so.

    `integers`: the layers that are to compute with integers. `sample_loop`: a batch is computed sample by sample.
    """

    model: ir.Model
    format: Form
    values: Values
    codings: tuple[WeightCoding, ...]
    document: str
    integers: tuple[IntegerLayer, ...] = ()
    sample_loop: bool = False

    @property
    def records(self) -> tuple[WeightRecord, ...]:
        """How the file will hold each weight."""
        return tuple(coding.record for coding in self.codings)


def deployment_of(  # noqa: PLR0913 - a model, what is wanted of it, and what decides
    model: ir.Model,
    wanted: CodingOptions,
    metadata: Mapping[str, Any],
    libraries: Sequence[Path] = (),
    *,
    compaction: Compaction = _NOTHING_REMOVED,
    calibrated: bool = False,
) -> Deployment:
    """The decisions for `model`, which is not changed; layers are measured with `libraries` where `wanted` says so.

    `calibrated`: layers compute with integers where they can. Raises UsageError where none can.
    """
    race = race_with(libraries) if wanted.measure else None
    largest = LARGEST_MULTIPLIED if calibrated else LARGEST_INT8
    values = None if wanted.format == "dense" else wanted.values
    decided = tuple(codings(model.graph, values, race, largest=largest, packed=wanted.packed))
    integers: tuple[IntegerLayer, ...] = ()
    if calibrated:
        decided, integers = with_integers(decided)
    deployment = {
        "format": wanted.format,
        "values": wanted.values,
        "weights": [coding.record.to_json() for coding in decided],
        "compaction": compaction.to_json(),
        **({"activations": "uint8"} if calibrated else {}),
        **({"sample_loop": True} if wanted.sample_loop else {}),
    }
    document = metadata_document.encode({**metadata, "deployment": deployment})
    return Deployment(
        model=model,
        format=wanted.format,
        values=wanted.values,
        codings=decided,
        document=document,
        integers=integers,
        sample_loop=wanted.sample_loop,
    )


def write_proven(
    deployment: Deployment,
    files: ModelFiles,
    proofs: Proofs,
    calibration: Iterable[Batch] = (),
    *,
    percentile: float = 100.0,
) -> None:
    """Write the model in its form, after its dense form has been proven; the model is changed by it.

    `calibration`: inputs that show which values the integer layers read and give; `percentile` as in `ranges`.
    """
    if deployment.format != "dense":
        proofs.dense_form(deployment.model, files)
        if deployment.values != "fp32":
            rounded(deployment.codings)
            name = f"the dense form in {deployment.values}"
            proofs.dense_form(deployment.model, files, name, ROUNDING[deployment.values])
    left = deployment.codings
    if deployment.integers:
        names = dict.fromkeys(name for layer in deployment.integers for name in layer.tensors)
        found = ranges(deployment.model, tuple(names), calibration, percentile)
        rewrite_integers(deployment.model, deployment.integers, found)
        done = {layer.coding.record.name for layer in deployment.integers}
        left = tuple(coding for coding in left if coding.record.name not in done)
    model = apply_form(deployment.model, deployment.format, left)
    model.metadata_props[metadata_document.KEY] = deployment.document
    write(model, files, sample_loop=deployment.sample_loop)


def require_measurable(wanted: CodingOptions, libraries: Sequence[Path]) -> None:
    """Raise UsageError where layers are to be measured and there is no sparse runtime."""
    if wanted.measure and not libraries:
        raise UsageError(
            "needs the sparse runtime; build it with `python -m n2nsurgery.runtime.build`", field="measure", joint=" "
        )
