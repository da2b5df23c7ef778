from __future__ import annotations

import json
from pathlib import Path

import pytest

import n2nsurgery.models.catalog
from n2nsurgery.core.progress import SILENT
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.models.weights_config import WeightsConfig
from n2nsurgery.pipelines.deploy.doctor import run as diagnose

INSPECTED = {
    "model": "resnet18",
    "reference_weights": 11_678_912,
    "macs": 1_814_073_344,
    "skip_capacity": 4096,
    "skip_length": 3,
    "layers": [
        {
            "name": "conv1",
            "operator": "conv2d",
            "output": [64, 112, 112],
            "weights": 9408,
            "macs": 118_013_952,
            "not_source": "a gate",
            "not_target": "a gate",
        }
    ],
    "pairs": [{"source": "conv1", "target": "layer1.[b]0", "length": 3, "capacity": 4096, "shortcut": True}],
    "refused": [{"source": "a", "target": "b", "reason": f"reason {n // 2}"} for n in range(14)],
}
WEIGHT = {
    "name": "conv.[b]weight",
    "shape": [64, 3, 7, 7],
    "recounted": 470,
    "density": 0.05,
    "code": "gaps8",
    "computed": "sparse",
    "arithmetic": "floats",
    "reason": "density 0.05 is at most 0.35",
}
EXPORTED = {
    "artifact": "exported/a",
    "onnx": "exported/a/model.onnx",
    "bytes": 2_500_000,
    "ideal_size": 2_400_000.0,
    "config": {"format": "portable", "values": "fp32", "sample_loop": True, "compact": True},
    "weights": [WEIGHT, {**WEIGHT, "computed": "dense", "reason": "depthwise"}],
    "identical": True,
    "removed_channels": {"conv.weight": 12},
    "max_relative_difference": 1.2e-6,
    "parity": [{"output": "output", "batch": 2, "scale": 3.5, "difference": 1.2e-6}],
}
FILE = {
    "onnx": "m.onnx",
    "bytes": 2_500_000,
    "ideal_size": 2_400_000.0,
    "opset": 18,
    "ir_version": 10,
    "inputs": ["x"],
    "outputs": ["output"],
    "weights": [WEIGHT],
    "disagreements": ["conv.[b]weight"],
    "mac_density": 0.123,
    "metadata": {"summary": {"model": "resnet50", "mask_fingerprint": "abcd"}},
}
SIDE = {
    "path": "dir/m.onnx",
    "libraries": ["lib.so"],
    "latency": [0.010, 0.011, 0.012],
    "size": 2_500_000,
    "ideal_size": 2_400_000.0,
    "loading": {"load": 0.03, "first": 0.02, "resident": 54_000_000, "peak": None},
    "layers": [{"name": "conv", "operator": "SparseConv", "seconds": 0.0015}],
}
BENCHED = {
    "settings": {"device": "cpu", "threads": 1, "batch": 1, "input_shapes": {}},
    "onnxruntime": "1.31.1",
    "rounds": 40,
    "model": SIDE,
    "other": {**SIDE, "libraries": [], "path": "dir/dense.onnx", "layers": []},
    "ratio": [5.9, 6.4, 6.6],
}


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("wide")
def test_inspect_shows_layers_pairs_and_the_commonest_refusals(program, pipeline, outcome):
    calls = []
    pipeline("inspect", lambda *values, **options: (calls.append((values, options)), outcome(document=INSPECTED))[1])
    shown = program("inspect", "resnet18", "--input-size", "3x64x64", "--pairs", "all").stdout
    assert calls == [
        (
            ("resnet18",),
            {
                "pairs": "all",
                "input_size": (3, 64, 64),
                "weights": WeightsConfig(),
                "seed": 0,
                "progress": SILENT,
            },
        )
    ]
    for text in (
        "1,814,073,344",
        "64x112x112",
        "a gate",
        "layer1.[b]0",
        "14 layers or pairs rejected (2 more reasons in --json)",
        "reason 0",
    ):
        assert text in shown
    assert json.loads(program("inspect", "resnet18", "--json").stdout) == INSPECTED


@pytest.mark.usefixtures("wide")
def test_export_shows_what_was_written_and_how_close_it_is(program, pipeline, outcome):
    calls = []
    pipeline("export", lambda *values, **options: (calls.append((values, options)), outcome(document=EXPORTED))[1])
    shown = program("export").stdout
    size = "2.50 MB, 1.04 times the ideal size"
    for text in (
        "exported/a/model.onnx", size, "sample by sample", "1.2e-06", "bit for bit", "depthwise", "12 channels",
    ):  # fmt: skip
        assert text in shown
    line = "exported/a -o m.onnx --format inlined --values int8 --compact --overwrite -q"
    assert program("export", "--onnx", *line.split()).stdout == "exported/a/model.onnx\n"
    defaults = {
        "example": None,
        "calibration": None,
        "config": ExportConfig(),
        "overwrite": False,
        "allow_import": False,
        "last": False,
        "progress": SILENT,
    }
    chosen = {
        "example": None,
        "calibration": None,
        "config": ExportConfig(format="inlined", values="int8", compact=True),
        "overwrite": True,
        "allow_import": False,
        "last": False,
        "progress": SILENT,
    }
    assert calls == [((None, None), defaults), ((Path("exported/a"), Path("m.onnx")), chosen)]


@pytest.mark.usefixtures("wide")
def test_inspect_shows_the_weights_of_a_file_and_where_it_contradicts_itself(program, pipeline, outcome):
    pipeline("inspect", lambda *_, **__: outcome(document=FILE))
    shown = program("inspect", "m.onnx").stdout
    for text in ("resnet50", "conv.[b]weight", "0.1230 of the dense", "abcd", "warning: the tensors of conv.[b]weight"):
        assert text in shown


@pytest.mark.usefixtures("wide")
def test_verify_shows_every_comparison(program, pipeline, outcome):
    line = {"subject": "the file", "reference": "torch", "output": "y", "batch": 2, "difference": 3.4e-7}
    document = {"path": "m.onnx", "weights": 54, "masked": ["a"] * 53, "unchecked": ["b"], "parity": [line]}
    calls = []
    pipeline("verify", lambda *values, **options: (calls.append((values, options)), outcome(document=document))[1])
    shown = program("verify", "m.onnx", "--against", "exported/a", "--allow-import").stdout
    for text in ("54 hold what", "53 match, 1 have no counterpart", "torch", "3.4e-07"):
        assert text in shown
    assert calls == [
        ((Path("m.onnx"),), {"against": Path("exported/a"), "allow_import": True, "last": False, "progress": SILENT})
    ]
    document.update(masked=[], unchecked=[])
    assert "not compared: no artifact was given" in program("verify", "m.onnx").stdout


@pytest.mark.usefixtures("wide")
def test_bench_shows_both_files_and_the_ratio(program, pipeline, outcome):
    calls = []
    pipeline("bench", lambda *values, **options: (calls.append((values, options)), outcome(document=BENCHED))[1])
    line = "m.onnx --against dense.onnx --library lib.so --threads 2 --batch 8 --provider cpu --seconds 1 --layers"
    shown = program("bench", *line.split()).stdout
    times = ("11.00 ms", "10.00 to 12.00 ms", "m.onnx with library is 6.40 times as fast as dense.onnx", "1.500")
    for text in (*times, "54 MB", "unknown", "m.onnx with library"):
        assert text in shown
    options = {"device": "cpu", "threads": 2, "batch": 8, "seconds": 1.0, "layers": True, "progress": SILENT}
    files = {"against": Path("dense.onnx"), "library": Path("lib.so")}
    assert calls == [((Path("m.onnx"),), {**files, **options, "input_shapes": {}})]


@pytest.mark.usefixtures("wide")
def test_bench_takes_shapes_of_inputs(program, pipeline, outcome):
    settings = {**BENCHED["settings"], "input_shapes": {"ids": [1, 128]}}
    calls = []
    pipeline("bench", lambda *_, **given: (calls.append(given), outcome(document={**BENCHED, "settings": settings}))[1])
    assert "ids 1x128, " in program("bench", "m.onnx", "--input-shapes", "ids=1x128").stdout
    assert calls[0]["input_shapes"] == {"ids": "1x128"}


def test_models_prints_one_name_a_line(program, monkeypatch):
    monkeypatch.setattr(n2nsurgery.models.catalog, "list_models", lambda: ("resnet18", "resnet50", "vgg19"))
    assert program("models").stdout == "resnet18\nresnet50\nvgg19\n"
    assert program("models", "resnet*").stdout == "resnet18\nresnet50\n"
    assert json.loads(program("models", "re:50$", "--json").stdout) == {"models": ["resnet50"]}


def test_reproduce_lists_experiments_one_a_line_with_what_they_are_about(program):
    lines = program("reproduce").stdout.splitlines()
    assert any(line.startswith("table2 ") and line.endswith("pruned ResNet50 on ImageNet.") for line in lines)
    listed = json.loads(program("reproduce", "--json").stdout)["experiments"]
    assert [line.split()[0] for line in lines] == [row["name"] for row in listed]
    assert all(row["about"] for row in listed)


def test_a_pattern_that_matches_no_model_names_the_nearest(program, monkeypatch):
    monkeypatch.setattr(n2nsurgery.models.catalog, "list_models", lambda: ("resnet18", "vgg19"))
    finished = program("models", "resnet81")
    assert finished.code == 2
    assert "did you mean 'resnet18'?" in finished.stderr


@pytest.mark.usefixtures("wide")
def test_doctor_shows_what_the_diagnosis_holds(program):
    diagnosis = diagnose().to_json()
    assert json.loads(program("doctor", "--json").stdout) == json.loads(json.dumps(diagnosis))
    shown = program("doctor").stdout
    for text in (diagnosis["platform"], diagnosis["packages"]["torch"], diagnosis["onnxruntime_providers"][-1]):
        assert text in shown


def test_the_version_is_printed_alone(program):
    assert program("--version").stdout == "1.0.0rc1\n"
