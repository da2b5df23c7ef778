"""A recipe from the command line: trained, interrupted, resumed, evaluated, exported; and in two processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import n2nsurgery.pipelines.training.train

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def smoke(here) -> Path:
    """The smoke recipe in an empty working directory."""
    return Path(shutil.copy(RECIPES / "smoke.yaml", here))


def last_weights(run: Path) -> bytes:
    return (run / "checkpoints" / "e00004-b0000000" / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("smoke")
def test_a_recipe_trains_is_interrupted_goes_on_to_the_same_bits_and_is_exported(program, here, monkeypatch):
    whole = program("train", "smoke.yaml", "-o", "whole", "--json")
    assert whole.code == 0, whole.stderr
    document = json.loads(whole.stdout)
    assert document["last"]["test"]["top1"] > 0.5  # of ten classes; patterns this strong are learned in four epochs
    assert document["surgery"]["data"] == "fake(train,seed=0,batch_size=128,count=1)"
    assert "512 training, 64 validation and 128 test samples" in whole.stderr

    line = n2nsurgery.pipelines.training.train.epoch_line

    def interrupt(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return line(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(n2nsurgery.pipelines.training.train, "epoch_line", interrupt)
        stopped = program("train", "smoke.yaml")
    assert stopped.code == 130
    assert "error: interrupted by SIGINT after step 16" in stopped.stderr
    (run,) = (here / "runs").iterdir()
    assert program("train", "smoke.yaml", "--resume", "-q").stdout == f"runs/{run.name}\n"
    assert last_weights(run) == last_weights(here / "whole")

    scores = json.loads(program("eval", "--last", "--json").stdout)  # of the newest run
    assert scores["evaluated"] == f"runs/{run.name}"
    assert scores["top1"] == document["last"]["test"]["top1"]
    exported = program("export", "--onnx", "-q")
    assert exported.stdout == f"runs/{run.name}/model.onnx\n", exported.stderr
    verified = program("verify", exported.stdout.strip(), "--against", f"runs/{run.name}", "--json")
    assert verified.code == 0, verified.stderr


@pytest.mark.usefixtures("here")
def test_two_processes_train_the_masks_and_the_batches_of_one(tmp_path):
    """Both the launcher and its two processes are the program itself."""
    shutil.copy(RECIPES / "smoke.yaml", tmp_path)
    command = [sys.executable, "-m", "n2nsurgery", "train", "smoke.yaml", "--gpus", "2", "--device", "cpu", "--json"]
    overrides = ("train.epochs=1", "surgery.batches=2")  # each process scores one of them
    command += [word for override in overrides for word in ("--set", override)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    assert (document["processes"], document["steps"]) == (2, 16)
    request = n2nsurgery.pipelines.training.train.TrainRequest(
        recipe=Path("smoke.yaml"), overrides=overrides, output=Path("alone")
    )
    alone = n2nsurgery.pipelines.training.train.run(request).to_json()
    assert document["surgery"]["mask_fingerprint"] == alone["surgery"]["mask_fingerprint"]
    assert document["last"]["test"]["samples"] == 128
    # The batches are the same; BatchNorm sees half of each in either process, so the losses are not.
    assert document["last"]["train"]["loss"] == pytest.approx(alone["last"]["train"]["loss"], rel=0.5)
