"""From an ONNX graph with zeros to the written and proven file: the same path for `export` and `compress`.

coding -> metadata -> dense form, proven -> the form that was asked for -> file -> proven without and with the library
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from n2nsurgery.core.errors import UsageError
from n2nsurgery.export.compaction.channel_folding import Compaction
from n2nsurgery.export.config import Form, Values
from n2nsurgery.export.files import metadata as metadata_document
from n2nsurgery.export.files.onnx_file import ModelFiles, write
from n2nsurgery.export.proof.parity import rounding_tolerance
from n2nsurgery.export.proof.proofs import Proofs
from n2nsurgery.export.sparse.formats import apply_form
from n2nsurgery.export.sparse.weight_coding import Race, WeightCoding, codings, rounded
from n2nsurgery.export.sparse.weight_record import WeightRecord

_NOTHING_REMOVED = Compaction()


@dataclass(frozen=True, kw_only=True, eq=False)
class Deployment:
    """A dense model, what is to become of each of its weights, and the metadata that will say so."""

    model: ir.Model
    format: Form
    values: Values
    codings: tuple[WeightCoding, ...]
    document: str

    @property
    def records(self) -> tuple[WeightRecord, ...]:
        """How the file will hold each weight."""
        return tuple(coding.record for coding in self.codings)


def deployment_of(  # noqa: PLR0913 - a model, its form, and what is known of it
    model: ir.Model,
    *,
    form: Form,
    values: Values,
    metadata: Mapping[str, Any],
    compaction: Compaction = _NOTHING_REMOVED,
    race: Race | None = None,
) -> Deployment:
    """The decisions for `model`, which is not changed. `race`: measures layers; they are predicted where None."""
    decided = tuple(codings(model.graph, None if form == "dense" else values, race))
    deployment = {
        "format": form,
        "values": values,
        "weights": [coding.record.to_json() for coding in decided],
        "compaction": compaction.to_json(),
    }
    document = metadata_document.encode({**metadata, "deployment": deployment})
    return Deployment(model=model, format=form, values=values, codings=decided, document=document)


def write_proven(deployment: Deployment, files: ModelFiles, proofs: Proofs) -> None:
    """Write the model in its form, after its dense form has been proven; the model is changed by it."""
    if deployment.format != "dense":
        proofs.dense_form(deployment.model, files)
        if deployment.values != "fp32":
            rounded(deployment.codings)
            name = f"the dense form in {deployment.values}"
            proofs.dense_form(deployment.model, files, name, rounding_tolerance(deployment.values))
    model = apply_form(deployment.model, deployment.format, deployment.codings)
    model.metadata_props[metadata_document.KEY] = deployment.document
    write(model, files)


def require_measurable(*, measure: bool, libraries: Sequence[Path]) -> None:
    """Raise UsageError where layers are to be measured and there is no sparse runtime."""
    if measure and not libraries:
        raise UsageError(
            "needs the sparse runtime; build it with `python -m n2nsurgery.runtime.build`", field="measure", joint=" "
        )
