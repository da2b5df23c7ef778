import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from n2nsurgery.connectivity import GraphOptions, Origin, Subject, identity_block
from n2nsurgery.connectivity.paths.reach import chain
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.progress import SILENT
from n2nsurgery.pipelines.connectivity import diff, report
from n2nsurgery.pipelines.connectivity.channel_graphs import skip_kinds
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest, PageRequest
from n2nsurgery.pipelines.connectivity.graph_source import read_subject


def network(density, seed=0):
    rng = np.random.default_rng(seed)
    return chain([rng.random((8, 6)) < density, rng.random((4, 8)) < density])


def read(request, progress=SILENT):
    """A network whose density is the number at the end of its name."""
    progress(f"building {request.model}", 0.2)
    graph, dense = network(float(request.model.rpartition("-")[2])), network(1.0)
    return Subject(
        graph=graph,
        dense=dense,
        origin=Origin(name=Path(request.model).name, origin=request.model),
        conventions=(f"Conductances: {request.conductance}.",),
        notes=(f"{request.model} has a gate.",),
    )


def as_json(found):
    return json.loads(json.dumps(found.to_json(), allow_nan=False))


def run(model="exported/net-0.4", **options):
    return report.run(GraphRequest(model=model), **options)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for pipeline in (report, diff):
        monkeypatch.setattr(pipeline, "read_subject", read)


def test_a_report_alone_writes_nothing(tmp_path):
    outcome = run()
    assert outcome.written is None
    assert list(tmp_path.iterdir()) == []
    assert outcome.to_json()["written"] is None
    assert outcome.report.subject.name == "net-0.4"
    assert outcome.report.reference.name == "its own dense form"
    assert outcome.report.conventions == ("Conductances: l1.",)


def test_html_lies_in_the_working_folder_and_is_not_overwritten(tmp_path):
    page = tmp_path / "net-0.4.report.html"
    assert run(html=True).written.resolve() == page
    page.write_text("mine")
    with pytest.raises(UsageError, match="pass --overwrite"):
        run(html=True)
    assert page.read_text() == "mine"
    assert run(html=True, overwrite=True).written is not None
    assert [path.name for path in tmp_path.iterdir()] == ["net-0.4.report.html"]


@pytest.mark.parametrize("output", ["a.html", "a.json"])
def test_the_same_report_again_is_there_already(tmp_path, output):
    first = run(output=tmp_path / output)
    before = (tmp_path / output).stat().st_mtime_ns
    second = run(output=tmp_path / output)
    assert second.to_json() == {**first.to_json(), "already_there": True}
    assert (tmp_path / output).stat().st_mtime_ns == before


def test_the_output_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "a.html").mkdir()

    monkeypatch.setattr(report, "read_subject", lambda *_: 1 / 0)
    with pytest.raises(UsageError, match="already exists"):
        report.run(GraphRequest(model="a"), output=tmp_path / "a.html")


def test_an_output_may_be_json(tmp_path):
    outcome = run(output=tmp_path / "new" / "a.json")
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == as_json(outcome.report)


@pytest.mark.parametrize(("output", "html"), [("a.txt", False), ("a", True), ("a.json", True)])
def test_another_suffix_is_refused_with_a_name_that_would_do(tmp_path, output, html):
    with pytest.raises(UsageError, match=r"a report ends in \.html.* so name it '.*a\.html'"):
        run(output=tmp_path / output, html=html)


def test_the_plots_are_a_picture(tmp_path):
    picture = tmp_path / "net-0.4.report.png"
    assert run(png=True).written.resolve() == picture
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run(output=picture).already_there
    with pytest.raises(UsageError, match=r"a report ends in \.png, so name it 'c\.png'"):
        run(png=True, output=Path("c.html"))
    with pytest.raises(UsageError, match="ask for one"):
        PageRequest(html=True, png=True)


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("n2nsurgery.connectivity.page.render.render", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(html=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("resnet50", "resnet50.report.html"),
        ("timm:resnet50", "timm-resnet50.report.html"),
        ("exported/a/", "a.report.html"),
        ("dir/m.onnx", "m.onnx.report.html"),
        ("deeper/here/..", "deeper.report.html"),
    ],
)
def test_a_page_is_named_after_its_network(model, name):
    assert str(report.target(model, form=".html", output=None)) == name


def test_a_page_on_the_working_folder_is_named_after_that_folder(tmp_path):
    for model in (".", ""):
        assert str(report.target(model, form=".html", output=None)) == f"{tmp_path.name}.report.html"
    with pytest.raises(UsageError, match=f"so name it '.*{tmp_path.name}.png'"):
        report.target("a", form=".png", output=Path())


def test_another_network_can_be_the_reference():
    outcome = run(reference=GraphRequest(model="other-0.9"))
    assert outcome.report.reference.name == "other-0.9"
    assert outcome.report.notes == ("exported/net-0.4 has a gate.", "Reference: other-0.9 has a gate.")
    expected = report.run(GraphRequest(model="other-0.9")).report.quantity("effective-density.direct")
    assert outcome.report.quantity("effective-density.direct").reference == expected.value


def test_different_conventions_are_not_compared():
    with pytest.raises(UsageError, match="different conventions"):
        run(reference=GraphRequest(model="other-0.9", conductance="binary"))


def test_progress_goes_from_0_to_1():
    seen = []
    run(html=True, progress=lambda stage, done: seen.append((stage, done)))
    assert [done for _, done in seen] == sorted(done for _, done in seen)
    assert all(0 <= done <= 1 for _, done in seen)
    assert seen[-1][0] == "writing net-0.4.report.html"


def test_a_bound_of_no_nodes_is_refused():
    with pytest.raises(UsageError, match="max_nodes is 0; it must be a whole number from 1"):
        GraphRequest(model="a", max_nodes=0)


def test_two_networks_are_compared():
    found = diff.run(GraphRequest(model="a-0.4"), GraphRequest(model="b-0.4")).difference
    assert (found.a.name, found.b.name) == ("a-0.4", "b-0.4")
    assert [layer.overlap for layer in found.layers] == [1, 1]


def test_two_networks_are_written_to_one_page(tmp_path):
    requests = GraphRequest(model="exported/a-0.4"), GraphRequest(model="b-0.8")
    outcome = diff.run(*requests, html=True)
    assert outcome.written.resolve() == tmp_path / "a-0.4-and-b-0.8.diff.html"
    assert (tmp_path / "a-0.4-and-b-0.8.diff.html").read_text(encoding="utf-8").count("<h1>") == 2
    assert diff.run(*requests, html=True).to_json() == {**outcome.to_json(), "already_there": True}
    with pytest.raises(UsageError, match="pass --overwrite"):
        diff.run(requests[0], requests[0], output=outcome.written)
    written = diff.run(*requests, output=tmp_path / "a.json").to_json()
    said_of_the_file = {"written": written["written"], "already_there": False}
    assert json.loads((tmp_path / "a.json").read_text()) | said_of_the_file == written
    with pytest.raises(UsageError, match=r"a difference ends in \.html"):
        diff.run(*requests, html=True, output=tmp_path / "b.json")


def test_options_reach_the_graphs(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "n2nsurgery.pipelines.connectivity.channel_graphs.subject_of", lambda *a, **k: seen.append((a, k))
    )
    read_subject(GraphRequest(model="a-0.4", identity="none", batchnorm="ignored", max_nodes=7, seed=3))
    assert seen == [
        (
            ("a-0.4",),
            {
                "example_inputs": None,
                "options": GraphOptions(identity="none", batchnorm="ignored"),
                "max_nodes": 7,
                "allow_import": False,
                "last": False,
                "num_classes": None,
                "input_size": None,
                "seed": 3,
                "progress": SILENT,
            },
        )
    ]


def test_a_sum_that_the_dense_form_lacks_is_a_residual_skip():
    graph = network(1.0)
    ends = np.arange(6), np.arange(6, 12)
    first, second = graph.blocks
    summed = replace(graph, blocks=(first, identity_block("own", *ends), identity_block("grafted", *ends), second))
    dense = replace(graph, blocks=(first, identity_block("own", *ends), second))
    assert skip_kinds(summed, dense, {"skips.a": "n2n"}) == {"grafted": "residual", "skips.a": "n2n"}
