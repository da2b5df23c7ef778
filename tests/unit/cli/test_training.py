from __future__ import annotations

import json
from pathlib import Path

import pytest

from n2nsurgery.core.errors import InterruptionError
from n2nsurgery.core.progress import SILENT
from n2nsurgery.pipelines.training.evaluate_request import EvaluationRequest
from n2nsurgery.pipelines.training.train_request import TrainRequest
from n2nsurgery_cli.commands.train import spelled_out

SCORES = {"loss": 1.0, "top1": 0.4567, "top5": 0.9, "samples": 100}
EPOCH = {"epoch": 3, "train": {"loss": 1.0, "top1": 0.5}, "test": SCORES}
TRAINED = {
    "run": "runs/[b]tiny-01234567",
    "recipe": {
        "train": {"batch_size": 64, "optimizer": {"name": "sgd", "lr": 0.05}, "schedule": {"name": "cosine"}},
    },
    "recipe_hash": "ab" * 32,
    "data": ["pictures of [b]cats"],
    "surgery": {
        "model": "mlp",
        "nnz_total": 1000,
        "reference_weights": 20_000,
        "nnz_sequential": 900,
        "nnz_skip": 100,
        "skips": [{}],
        "warnings": ["near-empty layer"],
    },
    "device": "cpu",
    "processes": 2,
    "epochs": 6,
    "steps_per_epoch": 93,
    "steps": 558,
    "best": EPOCH,
    "last": EPOCH,
    "history": [EPOCH],
    "onnx": "runs/tiny/model.onnx",
    "report": None,
    "engine": None,
}
EVALUATED = {
    "evaluated": "runs/tiny",
    "weights": "runs/tiny/checkpoints/e00003-b0000000",
    "data": ["cats"],
    "classes": 10,
    "split": "test",
    **SCORES,
}


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


def test_train_hands_its_options_on_and_shows_what_came_of_it(program, pipeline, outcome):
    calls = []

    def run(request, progress, log):
        log("epoch 1/6: loss 1.0")
        calls.append((request, progress))
        return outcome(document=TRAINED)

    pipeline("train", run)
    line = "r.yaml --set a.b=1 --set c=2 -o out --download --data-root d --device cpu --allow-import"
    shown = program("train", *line.split())
    asked = TrainRequest(
        recipe=Path("r.yaml"), overrides=("a.b=1", "c=2"), output=Path("out"), download=True, data_root=Path("d"),
        device="cpu", allow_import=True,
    )  # fmt: skip
    assert calls == [(asked, SILENT)]
    assert shown.stderr == "epoch 1/6: loss 1.0\n"
    for text in ("1,000 of 20,000", "in 1 skip", "6 epochs of 93 steps of 64", "2 processes", "45.67 %", "50.00 %",
                 "warning: near-empty layer", "runs/tiny/model.onnx", "run: runs/[b]tiny"):  # fmt: skip
        assert text in shown.stdout
    assert json.loads(program("train", "r.yaml", "--json").stdout) == TRAINED


def test_train_in_quiet_names_the_run_alone(program, pipeline, outcome):
    pipeline("train", lambda _request, _progress, log: outcome(document=TRAINED) if log is None else None)
    finished = program("train", "r.yaml", "-q")
    assert (finished.stdout, finished.stderr) == ("runs/[b]tiny-01234567\n", "")


def test_a_process_that_is_not_the_first_shows_nothing(program, pipeline):
    pipeline("train", lambda *_: None)
    assert program("train", "r.yaml").stdout == ""


def test_a_dry_run_shows_the_data_and_that_nothing_was_written(program, pipeline, outcome):
    document = TRAINED | {"run": None, "best": None, "last": None, "history": [], "onnx": None}
    pipeline("train", lambda *_: outcome(document=document))
    shown = program("train", "r.yaml", "--dry-run").stdout
    assert "data: pictures of [b]cats" in shown
    assert "nothing was written" in shown


def test_an_interrupted_run_ends_with_130(program, pipeline):
    def run(*_):
        raise InterruptionError("interrupted by SIGINT after step 6; the state is saved in 'x': resume to go on")

    pipeline("train", run)
    finished = program("train", "r.yaml")
    assert (finished.code, finished.stderr.startswith("error: interrupted by SIGINT after step 6")) == (130, True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("r.yaml --gpus 0", "--gpus is 0; it must be a whole number from 1"),
        ("r.yaml --resume --overwrite", "choose one"),
        ("absent.yaml", "the recipe 'absent.yaml' cannot be read: No such file"),
        ("absent.yaml --gpus 2", "the recipe 'absent.yaml' cannot be read: No such file"),
    ],
)
def test_what_cannot_be_meant_is_refused(program, line, message):
    finished = program("train", *line.split())
    assert finished.code == (3 if "absent" in line else 2)
    assert message in finished.stderr


def test_more_gpus_than_there_are_is_a_failure_of_the_run(program, tmp_path):
    text = "version: 1\nmodel: {name: mlp}\ndata: {name: fake}\ntrain: {}\n"
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    finished = program("train", str(tmp_path / "r.yaml"), "--gpus", "64")
    assert finished.code == 1
    assert "--gpus is 64, and torch sees" in finished.stderr
    assert (
        program("train", str(tmp_path / "r.yaml"), "--gpus", "3", "--device", "cpu").code == 2
    )  # 128 is not a multiple


def test_a_bare_resume_means_auto(tmp_path):
    file = tmp_path / "r.yaml"
    file.touch()
    for line in (
        ["train", "--resume", str(file)],
        ["train", "--resume", "recipe:smoke"],
        ["train", str(file), "--resume"],
        ["train", "r", "--resume", "-q"],
    ):
        assert [argument for argument in spelled_out(line) if argument.startswith("--resume")] == ["--resume=auto"]
        assert len(spelled_out(line)) == len(line)
    for line in (["train", "r", "--resume", "runs/a"], ["train", "r", "--resume", "auto"], ["train", "--resume=x"]):
        assert spelled_out(line) == line


def test_eval_shows_the_scores(program, pipeline, outcome):
    calls = []
    pipeline("evaluate", lambda asked, progress: (calls.append((asked, progress)), outcome(document=EVALUATED))[1])
    line = "runs/tiny --data mnist --set data.size=28 --split validation --last --batch-size 8 --seed 4 --device cpu"
    shown = program("eval", *line.split()).stdout
    asked = EvaluationRequest(
        folder=Path("runs/tiny"), data="mnist", overrides=("data.size=28",), split="validation", last=True,
        batch_size=8, seed=4, device="cpu",
    )  # fmt: skip
    assert calls == [(asked, SILENT)]
    for text in ("45.67 %", "90.00 %", "test, 100 samples", "1.0000", "e00003-b0000000"):
        assert text in shown
    pipeline("evaluate", lambda *_: outcome(document=EVALUATED | {"classes": 5}))
    assert "top 5" in shown
    assert "top 5" not in program("eval", "runs/tiny").stdout
    pipeline("evaluate", lambda *_: outcome(document=EVALUATED | {"loss": None}))
    assert "not finite" in program("eval", "runs/tiny").stdout
    assert program("eval", "runs/tiny", "--split", "tests").code == 2


def test_a_recipe_is_begun_checked_and_described(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert program("recipe", "init", "--model", "mnist-conv-2cl", "--data", "mnist").stdout == "recipe: recipe.yaml\n"
    assert program("recipe", "init").code == 2  # it is there
    checked = program("recipe", "check", "recipe.yaml", "--set", "train.epochs=7")
    assert checked.stdout.startswith("# recipe.yaml is valid; as it is carried out (hash ")
    Path("again.yaml").write_text(checked.stdout, encoding="utf-8")
    document = json.loads(program("recipe", "check", "again.yaml", "--json").stdout)
    assert document["recipe"]["train"]["epochs"] == 7
    assert document["recipe_hash"][:8] in checked.stdout
    assert program("recipe", "check", "recipe.yaml", "--set", "train.epoch=7").code == 2
    Path("again.yaml").write_text(checked.stdout.replace("epochs:", "epoch:"), encoding="utf-8")
    wrong = program("recipe", "check", "again.yaml")
    assert (wrong.code, "unknown key 'train.epoch' = 7; did you mean 'epochs'?" in wrong.stderr) == (3, True)
    assert program("recipe", "init", "b.yaml", "--model", "resnet5O").code == 2
    assert json.loads(program("recipe", "schema").stdout)["title"] == "n2nsurgery recipe"


def test_an_unknown_criterion_or_model_of_a_recipe_is_found_by_checking(program, tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(
        "version: 1\nmodel: {name: mlp}\ndata: {name: fake}\nsurgery: {density: 0.1}\ntrain: {}\n", encoding="utf-8"
    )
    for override, near in (("surgery.criterion=snap", "snip"), ("model.name=resnet5O", "resnet50")):
        finished = program("recipe", "check", str(file), "--set", override)
        assert (finished.code, f"did you mean '{near}'" in finished.stderr) == (2, True)
