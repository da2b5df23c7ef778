"""Two commands that write to one place at the same time: each ends as if it were alone or second; results are whole."""

from __future__ import annotations

import json
import multiprocessing
import runpy
from pathlib import Path

import pytest

import n2nsurgery
from n2nsurgery.core.errors import UsageError
from n2nsurgery.pipelines.prune import apply as pipeline
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.surgery.planning.config import SurgeryConfig

TINY = ("--set", "model.name=cifar-tiny-resnet", "--set", "train.epochs=1", "--set", "data.train=192",
        "--set", "data.validation=32", "--set", "data.test=32")  # fmt: skip


PROGRAM = """
import os, sys

for stream, path in ((1, output), (2, errors)):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
sys.argv = ["n2nsurgery", *arguments]
from n2nsurgery_cli.main import main

try:
    main()
finally:
    sys.stdout.flush()
"""
LOADED = [
    *(f"n2nsurgery.pipelines.{name}" for name in ("prune.apply", "training.train", "deploy.export")),
    *("torch._dynamo", "torch.export", "onnxscript", "onnxruntime"),
]


def both(here, one, other):
    """Exit codes, outputs and messages of two command lines that are started together, in processes of their own."""
    processes = multiprocessing.get_context("forkserver")  # torch is loaded once, and each process begins as a copy
    processes.set_forkserver_preload(LOADED)
    (here / "program.py").write_text(PROGRAM)
    started = []
    for name, arguments in (("one", one), ("other", other)):
        files = {"output": str(here / f".{name}.out"), "errors": str(here / f".{name}.err")}
        process = processes.Process(
            target=runpy.run_path, args=(str(here / "program.py"), {"arguments": arguments, **files})
        )
        process.start()
        started.append((process, *(Path(file) for file in files.values())))
    for process, *_ in started:
        process.join(500)
    return [(process.exitcode, output.read_text(), errors.read_text()) for process, output, errors in started]


def hidden(here):
    return list(here.rglob(".staging-*"))


def test_the_same_pruning_twice_is_one_artifact_and_no_error(here):
    command = ("apply", "mlp", "--density", "0.05", "--json")
    ended = both(here, command, command)
    assert [code for code, *_ in ended] == [0, 0], ended
    names = {json.loads(out)["artifact"] for _, out, _ in ended}
    assert len(names) == 1
    assert n2nsurgery.load(here / names.pop()).masks.kept == 87_245
    assert not hidden(here)


def test_two_prunings_into_one_folder_leave_one_of_them_whole(here):
    ended = both(
        here, *(("apply", "mlp", "--density", "0.05", "--seed", seed, "-o", "out", "--json") for seed in ("1", "2"))
    )
    assert sorted(code for code, *_ in ended) == [0, 2], ended
    (done,) = [json.loads(out) for code, out, _ in ended if code == 0]
    (refused,) = [said for code, _, said in ended if code == 2]
    assert "'out' already exists" in refused
    assert n2nsurgery.load(here / "out").masks.fingerprint == done["mask_fingerprint"]
    assert not hidden(here)


def test_two_exports_of_one_artifact_leave_one_file(program, here):
    program("apply", "mlp", "--density", "0.05", "-o", "out", "-q")
    ended = both(here, ("export", "out", "-q"), ("export", "out", "-q"))
    assert [code for code, *_ in ended] == [0, 0], ended
    assert program("verify", "out.onnx", "--against", "out").code == 0
    assert not hidden(here)


def test_two_trainings_in_one_folder_leave_one_run(program, here):
    command = ("train", "recipe:smoke", *TINY, "-o", "run", "-q")
    ended = both(here, command, command)
    assert min(code for code, *_ in ended) == 0, ended
    refused = [said for code, _, said in ended if code]  # none where one had ended before the other looked
    assert all("run" in said and "bug" not in said for said in refused)
    assert program("eval", "run").code == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_result_that_appears_while_another_is_made_is_kept(here, monkeypatch, seed):
    """`seed` of the second: where it is the same, its content is there already."""
    request, other = (
        ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, seed=number), output=Path("out"))
        for number in (seed, 0)
    )
    prune = pipeline.PruningRun.run

    def meanwhile(self, *arguments, **options):
        monkeypatch.setattr(pipeline.PruningRun, "run", prune)
        pipeline.run(other)
        return prune(self, *arguments, **options)

    monkeypatch.setattr(pipeline.PruningRun, "run", meanwhile)
    if seed:
        with pytest.raises(UsageError, match="already exists"):
            pipeline.run(request)
    else:
        assert pipeline.run(request).to_json()["already_there"]
    assert n2nsurgery.load(here / "out").plan.config.seed == 0
