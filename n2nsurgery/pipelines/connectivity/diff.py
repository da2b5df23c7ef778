"""What differs between the connectivity of two networks, layer by layer; as a value, JSON or a page."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from n2nsurgery.connectivity.measures.subject import Origin, Subject
from n2nsurgery.connectivity.report.difference import ConnectivityDifference, difference
from n2nsurgery.connectivity.report.report import report
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import atomic_file, is_there
from n2nsurgery.core.progress import SILENT, Progress, part_of
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest
from n2nsurgery.pipelines.connectivity.graph_source import read_subject
from n2nsurgery.pipelines.connectivity.report import file_name

FORMS = (".html", ".json")


@dataclass(frozen=True, kw_only=True)
class DiffOutcome:
    """The difference, and the file that it was written to."""

    difference: ConnectivityDifference
    written: Path | None = None
    already_there: bool = False

    def to_json(self) -> dict[str, Any]:
        """The document that `diff --json` prints."""
        written = str(self.written) if self.written else None
        return {**self.difference.to_json(), "written": written, "already_there": self.already_there}


def run(  # noqa: PLR0913 - every argument is an option of the command
    a: GraphRequest,
    b: GraphRequest,
    *,
    html: bool = False,
    output: Path | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> DiffOutcome:
    """Compare the networks `a` and `b`: what they keep, what is alive, how far their masks and their heat agree.

    `html`: write a page on both, to `output` or else to A-and-B.diff.html in the working folder. `output` alone: the
    page or the JSON document, by its suffix. Raises UsageError where the file exists with another content and
    `overwrite` is false, and the errors of reading a network (see `subject_of`).
    """
    path = target(a.model, b.model, html=html, output=output)
    there = path is not None and is_there(path, overwrite=overwrite)
    first = read_subject(a, part_of(progress, 0, 0.4))
    second = read_subject(b, part_of(progress, 0.4, 0.7))
    progress("comparing", 0.7)
    found = difference(first, second)
    if path is not None:
        write_diff(path, found, first, second, overwrite=overwrite, progress=part_of(progress, 0.7, 1))
    return DiffOutcome(difference=found, written=path, already_there=there)


def target(a: str, b: str, *, html: bool, output: Path | None) -> Path | None:
    """The file to write, None for none; raises UsageError where `output` has another suffix than what is asked for."""
    if output is None:
        return Path(f"{file_name(a)}-and-{file_name(b)}.diff.html") if html else None
    allowed = FORMS[:1] if html else FORMS
    if output.suffix.lower() not in allowed:
        raise UsageError(f"the output is '{output}'; a difference ends in {' or '.join(allowed)}")
    return output


def write_diff(  # noqa: PLR0913 - what is written, and how
    path: Path,
    found: ConnectivityDifference,
    first: Subject,
    second: Subject,
    *,
    overwrite: bool,
    progress: Progress = SILENT,
) -> None:
    """Write the difference of two networks: the document (.json), or the page with a report on each.

    Where both have the same channels, both are measured beside the dense form of the first, so that times compare.
    Raises UsageError where the file exists with another content and `overwrite` is false.
    """
    if path.suffix.lower() == ".json":
        text = json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n"
    else:
        from n2nsurgery.connectivity.page.diff_page import render_diff  # only the page needs jinja2

        dense = first.dense_reference
        common = replace(dense, origin=Origin(name="the dense form of A"))
        references = (dense, second.dense_reference) if found.incomparable else (common, common)
        reports = (
            report(first, references[0], progress=part_of(progress, 0, 0.5)),
            report(second, references[1], progress=part_of(progress, 0.5, 1)),
        )
        text = render_diff(found, *reports)
    with atomic_file(path, overwrite=overwrite) as staging:
        staging.write_text(text, encoding="utf-8")
