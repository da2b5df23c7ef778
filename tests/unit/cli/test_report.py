from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from n2nsurgery.connectivity import Origin, Subject
from n2nsurgery.connectivity.measures.subject import DENSE_REFERENCE
from n2nsurgery.connectivity.paths.reach import chain
from n2nsurgery.connectivity.report.difference import difference
from n2nsurgery.connectivity.report.report import report
from n2nsurgery.pipelines.saved import run_folder

OTHER = Origin(name="b")
NASTY = "[bold]net[/bold]\x1b[2J"


def network(density, seed=0, origin=OTHER, **options):
    rng = np.random.default_rng(seed)
    graph = chain([rng.random((30, 6)) < density, rng.random((4, 30)) < density])
    return Subject(graph=graph, origin=origin, **options)


def dense_of(widths):
    graph = chain([np.ones((after, before), dtype=bool) for before, after in pairwise(widths)])
    return Subject(graph=graph, origin=DENSE_REFERENCE)


DOCUMENT = {
    **report(
        network(
            0.1,
            origin=Origin(name=NASTY, origin="exported/a"),
            conventions=("Sum of |w|.",),
            notes=("[red]a gate",),
        ),
        network(1.0, origin=DENSE_REFERENCE),
    ).to_json(),
    "written": None,
}
DIFFERENCE = difference(network(0.3, origin=Origin(name=NASTY)), network(0.2, 1)).to_json()


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def reported(pipeline, outcome):
    calls = []

    def run(request, **options):
        calls.append((request, options))
        return outcome(document={**DOCUMENT, "written": "a.html" if options["html"] else None})

    pipeline("report", run)
    return calls


@pytest.mark.usefixtures("narrow")
def test_a_report_shows_findings_numbers_and_layers_in_80_columns(program, reported):
    shown = program("report", "net").stdout
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    for text in (
        f"is {DOCUMENT['verdict']}:",
        "[bold]net[/bold]\N{REPLACEMENT CHARACTER}[2J",
        "dead",
        "effective density",
        f"{100 * DOCUMENT['quantities']['effective-density']['direct']['value']:.4g} %",
        "[red]a gate",
    ):
        assert text in shown
    assert "\x1b" not in shown
    for finding in DOCUMENT["findings"]:
        assert f"{finding['topic']}:" in shown
    assert len(reported) == 1


@pytest.mark.usefixtures("narrow")
def test_of_layers_that_are_all_cut_off_the_one_with_the_fewest_weights_comes_first(program, pipeline, outcome):
    rng = np.random.default_rng(0)
    widths = (6, 30, 30, 30, 4)
    masks = [rng.random((after, before)) < 0.5 for before, after in pairwise(widths)]
    masks[2][:] = False
    cut = report(Subject(graph=chain(masks), origin=OTHER), dense_of(widths)).to_json()
    pipeline("report", lambda *_, **__: outcome(document={**cut, "written": None}))
    table = program("report", "net").stdout.partition("the worst first")[2]
    assert (
        next(line.split()[0] for line in table.splitlines() if line.split()[:1] in [["0"], ["1"], ["2"], ["3"]]) == "2"
    )


def test_options_reach_the_pipeline(program, reported):
    program(
        "report", "net", "--reference", "other", "--html", "-o", "x.html", "--overwrite", "--conductance", "binary",
        "--identity", "none", "--batchnorm", "ignored", "--max-nodes", "9", "--allow-import", "--seed", "4",
    )  # fmt: skip
    request, options = reported[0]
    assert (request.model, options["reference"].model) == ("net", "other")
    assert (request.conductance, request.identity, request.batchnorm) == ("binary", "none", "ignored")
    assert (request.max_nodes, request.allow_import, request.seed) == (9, True, 4)
    assert (str(options["output"]), options["html"], options["overwrite"]) == ("x.html", True, True)
    assert options["reference"].conductance == "binary"


def test_without_a_model_the_newest_artifact_or_run_is_reported(program, reported, monkeypatch):
    monkeypatch.setattr(run_folder, "newest_result", lambda: Path("exported/newest"))
    assert program("report").code == 0
    assert reported[0][0].model == "exported/newest"


def test_json_is_the_whole_report(program, reported):
    assert json.loads(program("report", "net", "--json").stdout) == json.loads(json.dumps(DOCUMENT))
    assert reported


def test_quiet_prints_the_file_alone(program, reported):
    assert program("report", "net", "--html", "-q").stdout == "a.html\n"
    assert program("report", "net", "-q").stdout == ""
    assert len(reported) == 2


@pytest.mark.usefixtures("narrow")
def test_a_difference_shows_both_sides(program, pipeline, outcome):
    calls = []
    pipeline("diff", lambda a, b, **_: (calls.append((a.model, b.model)), outcome(document=DIFFERENCE))[1])
    shown = program("diff", "one", "two").stdout
    assert calls == [("one", "two")]
    assert "overlap" in shown
    assert "distance F of their heat: " in shown
    assert "\x1b" not in shown
    assert json.loads(program("diff", "one", "two", "--json").stdout) == json.loads(json.dumps(DIFFERENCE))


def test_a_bound_of_no_nodes_is_wrong_usage(program):
    finished = program("report", "net", "--max-nodes", "0")
    assert (finished.code, finished.stdout) == (2, "")
    assert "--max-nodes is 0; it must be a whole number from 1" in finished.stderr
