"""GraphRequest: what `report` and `diff` are asked, before any network is read; importing it needs no numpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from n2nsurgery.connectivity.graph.report_config import ReportConfig, ReportOptions
from n2nsurgery.core.config.options import Range, check_options, option
from n2nsurgery.core.errors import UsageError

_NETWORK, _PAGE = "The network", "The page"


class NetworkOptions(ReportOptions, total=False):
    """Every option of a GraphRequest, for editors and type checkers."""

    allow_import: bool
    last: bool
    num_classes: int | None
    input_size: tuple[int, ...] | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class GraphRequest(ReportConfig):
    """Which network to turn into a graph, and how; of what `n2nsurgery report` and `diff` are given.

    `model`: a name as for apply, the folder of an artifact or of a run (its best weights, or with `last` its newest),
    or an .onnx file; in Python also a module or a pruned model. `num_classes` and `input_size` (of one sample) are for
    names. How it is turned into a graph is said as in a ReportConfig, whose errors are raised.
    """

    model: Any
    allow_import: bool = field(
        default=False, metadata=option("run code that is named: a model's factory", group=_NETWORK)
    )
    last: bool = field(
        default=False, metadata=option("of a run, its newest weights instead of its best", group=_NETWORK)
    )
    num_classes: int | None = field(
        default=None,
        metadata=option(
            "outputs of the model; default: the source's own", metavar="N", group=_NETWORK, within=Range(least=1)
        ),
    )
    input_size: tuple[int, ...] | None = field(
        default=None,
        metadata=option(
            "shape of one sample; default: the source's own", metavar="CxHxW", group=_NETWORK, within=Range(least=1)
        ),
    )
    seed: int = field(
        default=0,
        metadata=option("of the weights of a model by name", metavar="N", group=_NETWORK, within=Range(least=0)),
    )


@dataclass(frozen=True, kw_only=True)
class DiffPageRequest:
    """Where the difference of two networks is written.

    `html`: write the page, to `output` or else to A-and-B.diff.html in the working folder. Raises UsageError for values
    of another type.
    """

    html: bool = field(
        default=False, metadata=option("write a page on both; default: A-and-B.diff.html here", group=_PAGE)
    )
    output: Path | None = field(
        default=None, metadata=option("the file to write: .html or .json", metavar="PATH", group=_PAGE)
    )
    overwrite: bool = field(default=False, metadata=option("replace what is there; refused by default", group=_PAGE))

    def __post_init__(self) -> None:
        """Raise UsageError for values of another type."""
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """What a report is compared with, and where it is written.

    `reference`: another network, None for the network's own dense form. `html`: write the page, to `output` or else to
    NAME.report.html in the working folder; `png`: the plots as a picture likewise. Raises UsageError for values of
    another type, and where both are asked for.
    """

    reference: str | None = field(
        default=None,
        metadata=option(
            "what to compare with; default: its own dense form", metavar="MODEL|ARTIFACT|FILE", group=_PAGE
        ),
    )
    html: bool = field(default=False, metadata=option("write a page; default: NAME.report.html here", group=_PAGE))
    png: bool = field(default=False, metadata=option("write the plots; default: NAME.report.png here", group=_PAGE))
    output: Path | None = field(
        default=None, metadata=option("the file to write: .html, .json or .png", metavar="PATH", group=_PAGE)
    )
    overwrite: bool = field(default=False, metadata=option("replace what is there; refused by default", group=_PAGE))

    def __post_init__(self) -> None:
        """Raise UsageError for values of another type, and for two forms at once."""
        check_options(self)
        if self.html and self.png:
            raise UsageError("--html and --png are two files: ask for one, then for the other")
