"""Two processes, as torchrun would start them, without a folder in common; and the death of one of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from n2nsurgery.pipelines.training.train import run
from n2nsurgery.pipelines.training.train_request import TrainRequest

RECIPE = """\
version: 1
model: {name: mlp, options: {widths: [8, 16, 16, 16, 16]}}
data: {name: fake, shape: [8], classes: 4, train: 80, validation: 16, test: 32}
surgery: {density: 0.4, criterion: snip, batches: 3, batch_size: 16}
train:
  epochs: 2
  batch_size: 16
  optimizer: {lr: 0.1}
  schedule: {name: constant}
"""

PROCESS = """
import gc, os, signal, sys
from contextlib import nullcontext
from pathlib import Path
import torch
from torch import nn
from n2nsurgery import apply
from n2nsurgery.core.errors import InterruptionError, RunError, UsageError
from n2nsurgery.core.progress import SILENT
from n2nsurgery.pipelines.training import train
from n2nsurgery.pipelines.training.train_request import TrainRequest
from n2nsurgery.training.distributed.distributed import joined

rank = int(os.environ["RANK"])
os.chdir(Path(sys.argv[1], str(rank)))
torch.set_num_threads(1)

def train_by_hand(processes):
    torch.manual_seed(0)
    layers = [module for _ in range(5) for module in (nn.Linear(6, 6), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(6, 3))
    pruned = apply(model, density=0.5, criterion="snip", example_inputs=torch.zeros(2, 6))
    assert pruned.plan.skips
    wrapped = processes.wrap_ddp(pruned.module)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    before = [parameter.detach().clone() for parameter in wrapped.parameters()]
    generator = torch.Generator().manual_seed(rank)
    for _ in range(5):
        x, y = torch.randn(8, 6, generator=generator), torch.randint(3, (8,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(wrapped(x), y).backward()
        nn.utils.clip_grad_norm_(wrapped.parameters(), 1.0)
        optimizer.step()
    for name, mask in pruned.masks.items():
        assert not pruned.module.get_parameter(name).detach()[~mask].any(), name
    assert not any(torch.equal(old, new) for old, new in zip(before, wrapped.parameters()))
    entries = torch.cat([parameter.detach().reshape(-1) for parameter in wrapped.parameters()])
    assert torch.equal(*processes.all_gather(entries))

def run(recipe, output, progress=SILENT, **options):
    return train.run(TrainRequest(recipe=Path(recipe), output=Path(output), device="cpu", **options), progress)

def refuse(difference, *overrides):
    try:
        run("recipe.yaml", "refused", overrides=overrides if rank else ())
    except UsageError as error:
        assert difference in str(error), error
    else:
        raise AssertionError(f"{difference} was not noticed")

def interrupt(stage, done, sent=[]):
    if stage.startswith("epoch") and not sent:
        sent.append(os.kill(os.getpid(), signal.SIGTERM))

try:
    with joined("cpu") as processes:
        assert (processes.rank, processes.size, processes.local_rank) == (rank, 2, rank)
        train.joined = lambda device, timeout: nullcontext(processes)
        train_by_hand(processes)
        refuse("train.optimizer.lr is 0.2, in process 0 0.1", "train.optimizer.lr=0.2")
        refuse("data.train is 64, in process 0 80", "data.train=64")
        assert not Path("refused").exists()
        outcome = run("recipe.yaml", "whole")
        assert (outcome is None) == bool(rank)
        sparse = run("recipe.yaml", "sparse", overrides=("train.engine=sparse", "train.measure_engine=true"))
        if rank == 0:
            assert sparse.trained.engine.is_sparse, sparse.trained.engine
            assert abs(sparse.trained.history[-1].loss - outcome.trained.history[-1].loss) < 1e-4
        try:
            run("recipe.yaml", "stopped", interrupt)
        except InterruptionError:
            run("recipe.yaml", "stopped", resume="auto")
        else:
            raise AssertionError("nobody was interrupted")
        run("artifact.yaml", "again")
        assert rank == 0 or not any(Path(name).exists() for name in ("whole", "sparse", "stopped", "again"))
        if rank:
            os.kill(os.getpid(), signal.SIGKILL)
        processes.all_reduce(torch.zeros(1))  # nobody is left to answer
except RunError as error:
    print(error, flush=True)
    gc.collect()
    os._exit(0)  # gloo's threads may outlive their group, and would abort an interpreter that ends under them
"""


@pytest.fixture(scope="module")
def homes(tmp_path_factory) -> tuple[Path, list[tuple[int, str, str]]]:
    """The folder above those of the two processes, and how each of them ended: exit code, stdout, stderr."""
    folder = tmp_path_factory.mktemp("processes")
    for rank in ("0", "1"):
        (folder / rank).mkdir()
        (folder / rank / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        given = "\n".join("surgery: {artifact: whole/surgery}" if "density" in x else x for x in RECIPE.splitlines())
        (folder / rank / "artifact.yaml").write_text(given, encoding="utf-8")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(folder)],
            env=os.environ | group | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    written = [process.communicate(timeout=300) for process in processes]
    return folder, [(process.returncode, *texts) for process, texts in zip(processes, written, strict=True)]


def history(run_folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "timing"} for line in lines]


def test_the_death_of_one_process_ends_the_other_with_a_message(homes):
    _, (first, second) = homes
    assert second[0] < 0, second  # killed
    assert first[0] == 0, first
    assert first[1].startswith("another process failed or was killed, and its message says why"), first


def test_two_processes_without_a_common_folder_have_the_masks_and_losses_of_one(homes, monkeypatch):
    folder, ended = homes
    assert (folder / "0" / "again").is_dir(), ended
    monkeypatch.chdir(folder)
    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    alone = run(TrainRequest(recipe=Path("recipe.yaml"), output=Path("alone"), device="cpu"))
    masks = [json.loads((path / "run.json").read_text())["masks"] for path in (Path("alone"), *folder.glob("0/*/"))]
    # To the bit: every mini-batch is scored whole, and the gradients are added in the order of the batches.
    assert masks == [alone.pruned.masks.fingerprint] * 5
    for one, two in zip(history(Path("alone")), history(folder / "0" / "whole"), strict=True):
        # The same sums in another order: float32 roundings, carried through 10 steps of momentum.
        assert two["train"]["loss"] == pytest.approx(one["train"]["loss"], rel=1e-5)
        assert two["validation"]["loss"] == pytest.approx(one["validation"]["loss"], rel=1e-5)


def test_a_run_that_only_the_first_process_has_goes_on_to_the_same_bits(homes):
    folder, _ = homes
    whole = history(folder / "0" / "whole")
    assert len(whole) == 2
    assert history(folder / "0" / "stopped") == whole
    # The artifact holds the masks and start weights of that very run, so training is the same.
    assert history(folder / "0" / "again") == whole
