from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from n2nsurgery.core.config.options import config_fields
from n2nsurgery.core.progress import SILENT
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.surgery.planning.config import SurgeryConfig

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
    "engine": "hooks",
    "engine_reason": "every skip starts and ends at the boundary of a module",
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


def asked(model: str = "resnet18", **surgery) -> ApplyRequest:
    return ApplyRequest(model=model, surgery=SurgeryConfig.from_preset(**surgery))


def test_the_bare_call_asks_for_the_defaults(program, requests):
    assert program("apply", "resnet18", "--density", "0.1").code == 0
    assert requests == [(asked(density=0.1), SILENT)]


@pytest.mark.parametrize(("option", "value"), [("--density", "5%"), ("--sparsity", "95%"), ("--density", "0.05")])
def test_a_share_may_be_given_in_per_cent(program, requests, option, value):
    assert program("apply", "resnet18", option, value).code == 0
    assert requests[0][0].surgery.kept == 0.05


@pytest.mark.parametrize("value", ["five", "%", "5%%", "500%"])
def test_what_is_not_a_share_is_refused_with_what_is_allowed(program, requests, value):
    finished = program("apply", "resnet18", "--density", value)
    assert (finished.code, requests) == (2, [])
    assert "it must be" in finished.stderr
    assert "in (0, 1]" in finished.stderr


SURGERY = {
    "--compression 20": {"compression": 20.0},
    "--macs 5%": {"macs": 0.05},
    "--fan-out fc1=4 --fan-out re:x=y=2": {"fan_out": {"fc1": 4, "re:x=y": 2}},
    "--junction-density re:x=y=.5": {"junction_density": {"re:x=y": 0.5}},
    "--ignore fc --ignore conv1": {"ignore": ("fc", "conv1")},
    "--floor-layer 5 --floor-channel 1": {"floor_layer": 5, "floor_channel": 1},
    "--keep-alive": {"keep_alive": True},
    "--redistribute": {"redistribute": True},
    "--criterion csp --scope layer": {"criterion": "csp", "scope": "layer"},
    "--criterion-option rounds=3 --criterion-option mode=eval --criterion-option flag=true": {
        "criterion_options": {"rounds": 3, "mode": "eval", "flag": True}
    },
    "--criterion-option temperature=2.5": {"criterion_options": {"temperature": 2.5}},
    "--allocation erk --allocation-option power=2": {"allocation": "erk", "allocation_options": {"power": 2}},
    "--granularity kernel --granularity-option size=8": {
        "granularity": "kernel",
        "granularity_options": {"size": 8},
    },
    "--start orthogonal": {"start": "orthogonal"},
    "--skip n2n --skip-option start=0.5": {"skip": "n2n", "skip_options": {"start": 0.5}},
    "--skip-allocation equal --skip-allocation-option power=2": {
        "skip_allocation": "equal",
        "skip_allocation_options": {"power": 2},
    },
    "--allocation uniform --granularity kernel": {"allocation": "uniform", "granularity": "kernel"},
    "--skip residual": {"skip": "residual"},
    "--skip-ratio 0.25 --skip-pattern random --skip-kernel target": {
        "skip_ratio": 0.25,
        "skip_pattern": "random",
        "skip_kernel": "target",
    },
    "--junction-density fc=12.5% --skip-ratio 50%": {"junction_density": {"fc": 0.125}, "skip_ratio": 0.5},
    "--skip-ratio auto": {"skip_ratio": "auto"},
    "--skip-allocation equal --skip-norm always": {"skip_allocation": "equal", "skip_norm": "always"},
    "--pairs random --num-pairs 4 --skip-length 2": {"pairs": "random", "num_pairs": 4, "skip_length": 2},
    "--skip-placement two-blocks --include-classifier": {"skip_placement": "two-blocks", "include_classifier": True},
    "--include layer1 --include layer2 --exclude re:conv3$": {
        "include": ("layer1", "layer2"),
        "exclude": ("re:conv3$",),
    },
    "--pooling max": {"pooling": "max"},
    "--engine hooks": {"engine": "hooks"},
    "--num-candidates 8 --select-by scatter --draw 2": {"num_candidates": 8, "select_by": "scatter", "draw": 2},
    "--batches 2 --batch-size 8 --seed 7": {"batches": 2, "batch_size": 8, "seed": 7},
    "--preset paper": {"preset": "paper"},
}


def test_every_option_of_surgery_is_tried_below():
    tried = {name for values in SURGERY.values() for name in values}
    assert tried >= {each.name for each in config_fields(SurgeryConfig)} - {"density", "sparsity"}


@pytest.mark.parametrize(("line", "values"), SURGERY.items(), ids=SURGERY)
def test_an_option_of_surgery_reaches_the_pipeline(program, requests, line, values):
    budget = {} if {"compression", "fan_out", "junction_density"} & values.keys() else {"density": 0.1}
    given = ("--density", "0.1") if budget else ()
    finished = program("apply", "resnet18", *given, *line.split())
    assert (finished.code, finished.stderr.count("warning")) == (0, 0), finished.stderr
    assert requests == [(asked(**budget, **values), SILENT)]


@pytest.mark.parametrize(
    ("line", "values", "now"),
    [
        ("--tries 8 --select scatter", {"num_candidates": 8, "select_by": "scatter"}, "--num-candidates"),
        ("--shortcuts plain", {"skip_placement": "all"}, "--skip-placement"),
        ("--shortcuts around", {"skip_placement": "avoid-residual"}, "--skip-placement"),
        ("--heads", {"include_classifier": True}, "--include-classifier"),
        ("--no-heads", {"include_classifier": False}, "--include-classifier"),
        ("--keep-dense fc --keep-dense x", {"ignore": ("fc", "x")}, "--ignore"),
    ],
)
def test_a_former_spelling_means_the_new_option_and_says_so(program, requests, line, values, now):
    finished = program("apply", "resnet18", "--density", "0.1", *line.split())
    assert requests == [(asked(density=0.1, **values), SILENT)]
    assert f"warning: {line.split()[0].replace('--no-', '--')} is {now} now" in finished.stderr


def test_a_former_spelling_beside_the_new_one_is_refused(program):
    finished = program("apply", "resnet18", "--density", "0.1", "--keep-dense", "fc", "--ignore", "fc")
    assert finished.code == 2
    assert "--keep-dense is the former name of --ignore: give one of them" in finished.stderr


def test_where_and_how_the_work_is_done_reaches_the_pipeline(program, requests):
    line = (
        "--weights DEFAULT --download --num-classes 10 --input-size 3x32x32 --device cpu -o out --overwrite --dry-run"
    )
    assert program("apply", "timm:resnet18", "--density", "0.1", *line.split()).code == 0
    request = ApplyRequest(
        model="timm:resnet18",
        surgery=SurgeryConfig(density=0.1),
        weights="DEFAULT",
        download=True,
        num_classes=10,
        input_size=(3, 32, 32),
        device="cpu",
        output=Path("out"),
        overwrite=True,
        dry_run=True,
    )
    assert requests == [(request, SILENT)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--skip-ratio half", "--skip-ratio is 'half'; it must be in [0, 1) or 'auto'"),
        ("--skip-ratio 1.5", "--skip-ratio is 1.5; it must be in [0, 1) or 'auto'"),
        ("--pairs overlaping", "--pairs is 'overlaping'; it must be one of overlapping, blocks, random, all; did you"),
        ("--fan-out fc", "--fan-out is 'fc'; it must be LAYER=N"),
        ("--fan-out fc=1.5", "--fan-out is 'fc=1.5'; it must be names with values, each a whole number from 1"),
        ("--fan-out fc=1 --fan-out fc=2", "--fan-out is given twice for 'fc'"),
        ("--criterion-option temperature", "--criterion-option is 'temperature'; it must be NAME=VALUE"),
        (
            "--input-size 3;4",
            "--input-size is '3;4'; it must be the shape of one sample, like 3x224x224, or the height",
        ),
        ("--input-size 0x3", "--input-size is '0x3'; it must be the shape of one sample, like 3x224x224"),
        ("--device gpu", "--device is 'gpu'; it must be auto, cpu, cuda or cuda:N"),
        ("--skip-length 1", "--skip-length is 1; it must be a whole number from 2"),
    ],
)
def test_what_cannot_be_meant_is_told_by_the_options_name(program, requests, line, message):
    finished = program("apply", "resnet18", "--density", "0.1", *line.split())
    assert (finished.code, requests) == (2, [])
    assert f"error: {message}" in finished.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--criterion grasp --criterion-option temprature=2", "--criterion-option temprature: unknown option of the"),
        ("--criterion grasp --criterion-option temperature=hot", "--criterion-option temperature is 'hot'; it must be"),
        ("--criterion grasp --criterion-option temperature=-1", "--criterion-option temperature is -1; it must be pos"),
        ("--criterion grsp", "--criterion: unknown criterion 'grsp'; did you mean 'grasp'?"),
        ("--criterion snip --allocation erk", "--allocation does not go with the criterion 'snip'"),
        ("--allocation urk", "unknown allocation 'urk'; did you mean 'erk'?"),
        ("--skip n2m", "--skip: unknown skip kind 'n2m'; did you mean 'n2n'?"),
    ],
)
def test_names_of_registries_and_their_options_are_told_by_the_options_name(program, line, message):
    finished = program("apply", "mlp", "--density", "0.1", "--dry-run", *line.split())
    assert (finished.code, message in finished.stderr) == (2, True), finished.stderr


def test_the_help_lists_options_in_groups_and_what_each_criterion_does(program):
    shown = program("apply", "--help").stdout
    headings = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Arguments:", "Budget:", "Which weights survive:", "Skip connections:", "Scores and draws:", "Model:", "Run:",
        "Options:", "Examples:", "Criteria:",
    ]  # fmt: skip
    assert "--keep-dense" not in shown
    for text in (
        "equal|erk|global|later-denser|uniform",
        "n2n|residual|none",
        "one-to-one",
        "large weights survive",
    ):
        assert text in shown


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
    assert "583,946 of 11,678,912: 583,882 in layers + 64 in skips" in shown
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
