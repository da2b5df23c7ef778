"""ExportRequest: which ONNX file is wanted, by option."""

from __future__ import annotations

from dataclasses import dataclass

from n2nsurgery.export.codec.values import Values
from n2nsurgery.export.sparse.formats import ExportFormat, Form


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """The file's `format`, its `values`, whether it is `compact`; `measure`: time sparse against dense layers.

    `report`: put a summary of the network's connectivity into the metadata. Raises UnknownNameError for an unknown
    format or type, UsageError where they do not go together.
    """

    format: Form = ExportFormat.form
    values: Values = ExportFormat.values
    compact: bool = ExportFormat.compact
    measure: bool = False
    report: bool = False

    def __post_init__(self) -> None:
        """Refuse what no file can be."""
        ExportFormat(form=self.format, values=self.values, compact=self.compact)
