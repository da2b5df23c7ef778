"""How well a network is connected: from a model, artifact or file to a report, as a value, JSON or a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.connectivity.report.report import ConnectivityReport, report
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import atomic_file, is_there, named
from n2nsurgery.core.progress import SILENT, Progress, part_of
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest
from n2nsurgery.pipelines.connectivity.graph_source import read_subject

FORMS = (".html", ".json", ".png")
PAGE, PICTURE = ".html", ".png"


@dataclass(frozen=True, kw_only=True)
class ReportOutcome:
    """The report, and the file that it was written to, or that was there before with the same content."""

    report: ConnectivityReport
    written: Path | None = None
    already_there: bool = False

    def to_json(self) -> dict[str, Any]:
        """The document that `report --json` prints."""
        written = str(self.written) if self.written else None
        return {**self.report.to_json(), "written": written, "already_there": self.already_there}


def run(  # noqa: PLR0913 - every argument is an option of the command
    request: GraphRequest,
    *,
    reference: GraphRequest | None = None,
    html: bool = False,
    png: bool = False,
    output: Path | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> ReportOutcome:
    """Report on a network against `reference`, or else against its own dense form; write it where asked to.

    `html`: write the page, to `output` or else to NAME.report.html in the working folder; `png`: the plots as a picture
    likewise. `output` alone: the page, the JSON document or the picture, by its suffix. Raises UsageError where the
    file exists with another content and `overwrite` is false, where both networks do not have the same channels, and
    where their graphs were made by different conventions.
    """
    path = target(request.model, form=PAGE if html else PICTURE if png else None, output=output)
    there = path is not None and is_there(path, overwrite=overwrite)
    subject = read_subject(request, part_of(progress, 0, 0.2))
    against = subject.dense_reference if reference is None else read_subject(reference, part_of(progress, 0.2, 0.3))
    if against.conventions != subject.conventions:
        raise UsageError("the network and its reference were condensed by different conventions; use the same for both")
    found = report(subject, against, progress=part_of(progress, 0.3, 0.9))
    if path is not None:
        progress(f"writing {path.name}", 0.95)
        write_report(path, found, subject, against, overwrite=overwrite)
    return ReportOutcome(report=found, written=path, already_there=there)


def target(model: str, *, form: str | None, output: Path | None) -> Path | None:
    """The file to write, None for none; raises UsageError where `output` has another suffix than the `form` asked for.

    `form`: one of FORMS, or None for that of `output`.
    """
    if output is None:
        return Path(f"{file_name(model)}.report{form}") if form else None
    allowed = (form,) if form else FORMS
    if output.suffix.lower() not in allowed:
        whole = named(output)
        wanted = " or ".join(f"'{whole.parent / f'{whole.stem}{suffix}'}'" for suffix in allowed)
        raise UsageError(f"--output is '{output}': a report ends in {' or '.join(allowed)}, so name it {wanted}")
    return output


def file_name(model: str) -> str:
    """The name that a file on `model` begins with: the last part of a path, `timm-resnet50` of `timm:resnet50`."""
    return named(Path(model)).name.replace(":", "-")


def write_report(
    path: Path, found: ConnectivityReport, subject: Subject, reference: Subject, *, overwrite: bool
) -> None:
    """Write the report `found` on `subject` against `reference`: the document (.json), the plots (.png) or the page.

    Raises UsageError where the file exists with another content and `overwrite` is false.
    """
    form = path.suffix.lower()
    if form == PICTURE:
        from n2nsurgery.connectivity.page.plots import write_png  # only the picture needs matplotlib

        with atomic_file(path, overwrite=overwrite) as staging:
            write_png(found, staging)
        return
    if form == ".json":
        text = json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n"
    else:
        from n2nsurgery.connectivity.page.render import render  # only the page needs jinja2

        text = render(found, subject.graph, reference.graph)
    with atomic_file(path, overwrite=overwrite) as staging:
        staging.write_text(text, encoding="utf-8")
