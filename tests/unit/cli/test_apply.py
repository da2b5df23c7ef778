from __future__ import annotations

import inspect
import json
import logging
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from n2nsurgery.core.progress import SILENT
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery_cli.commands.apply import apply

SKIP = {
    "name": "n2n_skips.0",
    "source": "layer1.[bold]0",
    "target": "layer2.0",
    "length": 3,
    "kind": "n2n",
    "kernel": [1, 1],
    "stride": [1, 1],
    "align": "average 2x2",
    "weights": 4096,
    "kept": 64,
}
DOCUMENT = {
    "artifact": "exported/resnet18",
    "model": "resnet18",
    "criterion": "random",
    "skip": "n2n",
    "density": 0.05,
    "sparsity": 0.95,
    "compression": 20.0,
    "skip_ratio": 0.1,
    "seed": 0,
    "reference_weights": 11_678_912,
    "nnz_total": 583_946,
    "nnz_sequential": 583_882,
    "nnz_skip": 64,
    "mac_density": 0.1234,
    "layers": [{"name": "conv1", "weights": 9408, "kept": 940, "macs": 1}],
    "skips": [SKIP],
    "refused": [{"source": "a", "target": b, "reason": "no [red]activation"} for b in "bc"],
    "warnings": ["layer3 is [blink]nearly empty"],
    "mask_fingerprint": "ab" * 32,
    "draw": 3,
    "choice": "draw 3 of 8 has the highest scatter",
}


@pytest.fixture
def requests(pipeline, outcome):
    """The requests that the pipeline was called with."""
    seen = []

    def run(request, progress):
        seen.append((request, progress))
        print("a library talks on stdout")  # noqa: T201 - some exporters do
        logging.getLogger("n2nsurgery.surgery").warning("and logs")
        return outcome(document=DOCUMENT)

    pipeline("apply", run)
    return seen


def test_every_field_of_the_request_is_an_option_with_the_same_default():
    options = inspect.signature(apply).parameters
    for field in fields(ApplyRequest):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        assert options[field.name].default == (default if default != () else None), field.name
    assert options.keys() - {field.name for field in fields(ApplyRequest)} == {"context", "json", "quiet", "verbose"}


def test_the_bare_call_asks_for_the_defaults(program, requests):
    assert program("apply", "resnet18", "--density", "0.1").code == 0
    assert requests == [(ApplyRequest(model="resnet18", density=0.1), SILENT)]


def test_every_option_reaches_the_pipeline(program, requests):
    line = (
        "--compression 20 --skip-ratio 0.25 --criterion csp --allocation uniform --granularity kernel --scope layer "
        "--skip n2n --skip-pattern random --skip-kernel target --skip-length 2 --pairs random --num-pairs 4 "
        "--include layer1 --include layer2 --exclude re:conv3$ --keep-dense fc --pooling max --heads --redistribute "
        "--shortcuts two-blocks --fan-out fc1=4 --fan-out fc2=2 --junction-density re:x=y=.5 "
        "--tries 8 --select scatter --floor-layer 5 --floor-channel 1 --preset paper --batches 2 --batch-size 8 "
        "--weights DEFAULT --num-classes 10 --input-size 3x32x32 --seed 7 --device cpu -o out --overwrite --dry-run"
    )
    assert program("apply", "timm:resnet18", *line.split()).code == 0
    asked = ApplyRequest(
        model="timm:resnet18",
        compression=20.0,
        skip_ratio=0.25,
        criterion="csp",
        allocation="uniform",
        granularity="kernel",
        scope="layer",
        skip="n2n",
        skip_pattern="random",
        skip_kernel="target",
        skip_length=2,
        pairs="random",
        shortcuts="two-blocks",
        num_pairs=4,
        include=("layer1", "layer2"),
        exclude=("re:conv3$",),
        keep_dense=("fc",),
        pooling="max",
        heads=True,
        redistribute=True,
        fan_out=(("fc1", 4), ("fc2", 2)),
        junction_density=(("re:x=y", 0.5),),
        tries=8,
        select="scatter",
        floor_layer=5,
        floor_channel=1,
        preset="paper",
        batches=2,
        batch_size=8,
        weights="DEFAULT",
        num_classes=10,
        input_size=(3, 32, 32),
        seed=7,
        device="cpu",
        output=Path("out"),
        overwrite=True,
        dry_run=True,
    )
    assert requests == [(asked, SILENT)]


@pytest.mark.usefixtures("requests")
def test_json_is_the_only_thing_on_stdout(program):
    finished = program("apply", "resnet18", "--density", "0.1", "--json")
    assert json.loads(finished.stdout) == DOCUMENT
    assert finished.stderr == "a library talks on stdout\nWARNING n2nsurgery.surgery: and logs\n"


@pytest.mark.usefixtures("requests")
def test_tables_show_the_budget_three_ways_and_draw_names_as_they_are(program, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    shown = program("apply", "resnet18", "--density", "0.1").stdout
    assert "density 0.05 = sparsity 0.95 = compression 20x" in shown
    assert "583,946 of 11,678,912: 583,882 sequential + 64 in skips" in shown
    assert "0.1234 of the dense model's" in shown
    assert "layer1.[bold]0" in shown
    assert "no [red]activation" in shown
    assert "warning: layer3 is [blink]nearly empty" in shown
    assert "artifact: exported/resnet18" in shown


@pytest.mark.usefixtures("requests")
def test_quiet_prints_the_place_of_the_artifact_alone(program):
    finished = program("apply", "resnet18", "--density", "0.1", "-q")
    assert finished.stdout == "exported/resnet18\n"
    assert "and logs" not in finished.stderr


@pytest.mark.parametrize(("arguments", "watched"), [((), True), (("-q",), False)])
def test_a_terminal_sees_progress_unless_quiet(program, requests, monkeypatch, arguments, watched):
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda _: True, raising=False)
    program("apply", "resnet18", "--density", "0.1", *arguments)
    ((_, progress),) = requests
    assert (progress is not SILENT) == watched


def test_a_dry_run_says_that_nothing_was_written(program, pipeline, outcome):
    pipeline("apply", lambda *_: outcome(document=DOCUMENT | {"artifact": None}))
    assert program("apply", "resnet18", "--density", "0.1", "--dry-run").stdout.endswith("nothing was written\n")
    assert program("apply", "resnet18", "--density", "0.1", "--dry-run", "-q").stdout == ""


@pytest.mark.usefixtures("requests")
def test_no_color_is_honoured(program, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[33m" in program("apply", "resnet18", "--density", "0.1").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[33m" not in program("apply", "resnet18", "--density", "0.1").stdout
