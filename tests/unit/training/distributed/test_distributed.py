"""Two processes train as one; and whatever happens to one of them, the run ends, with one message."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from n2nsurgery.core.errors import InterruptionError, RunError, UsageError
from n2nsurgery.core.sealed_folder import read_sealed
from n2nsurgery.training.distributed.distributed import joined
from n2nsurgery.training.distributed.distributed_context import SingleProcess
from n2nsurgery.training.distributed.distributed_launch import launch
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.run import run_training

TRAINING = """
import importlib.util, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
specification = importlib.util.spec_from_file_location("conftest", sys.argv[2])
tools = importlib.util.module_from_spec(specification)
specification.loader.exec_module(tools)
from n2nsurgery.core.errors import InterruptionError, UsageError, VerificationError
from n2nsurgery.training.distributed.distributed import joined
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.run import run_training

class Stopping(tools.Blobs):
    def epoch(self, number, start=0):
        for index, pair in enumerate(super().epoch(number, start), start):
            if (number, index, self.rank) == (0, 5, 1):
                os.kill(os.getpid(), signal.SIGTERM)
            yield pair

def train(processes, name, dropout, batches_of=tools.Blobs, **options):
    model = tools.perceptron(dropout)
    if processes.rank:
        for parameter in model.parameters():
            parameter.data.zero_()  # process 0 says where to start
    config = tools.train_config(clip_norm=1.0, ema_decay=0.9, accumulate=2, checkpoint_steps=2)
    batches = batches_of(6, last=7, rank=processes.rank, processes=2)
    uneven = {"validation": tools.Blobs(3, size=4, last=3, rank=processes.rank, processes=2)}
    run_training(
        model, TrainData(train=batches, evaluations=uneven), config, folder=Path(sys.argv[1], name),
        processes=processes, masks=tools.random_masks(model), **options
    )
    return model

with joined("cpu") as processes:
    assert processes.size == 2
    train(processes, "plain", 0.0)
    train(processes, "whole", 0.3)
    try:
        train(processes, "stopped", 0.3, batches_of=Stopping)
    except InterruptionError as error:
        assert "resume" in str(error)
    else:
        raise AssertionError("the wish of process 1 was not granted")
    train(processes, "stopped", 0.3, resume=True)
    try:
        processes.require_same("weights", ("aa" if processes.rank else "bb") * 32)
    except VerificationError as error:
        assert "the weights of processes [1] are no longer those of process 0" in str(error)
    else:
        raise AssertionError("a difference was not found")
    Path(sys.argv[1], f"reached-{processes.rank}").touch()
    if processes.rank:
        raise UsageError("planted")
    processes.all_reduce(torch.zeros(1))  # process 1 will never come here
"""


def outcome_of(folder):
    """Metrics without timing, and the tensors of the last checkpoint."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = max(path for path in (folder / "checkpoints").iterdir() if path.name.startswith("e"))
    tensors = read_sealed(last, "checkpoint").tensors
    return [{k: v for k, v in line.items() if k != "timing"} for line in lines], tensors


def test_two_processes_train_as_one_resume_exactly_and_end_with_one_message(mlp, blobs, masks_of, config, tmp_path):
    tools = Path(__file__).parents[1] / "conftest.py"
    with pytest.raises(UsageError, match=r"^planted \(process 1 of 2\)$"):
        launch([sys.executable, "-c", TRAINING, str(tmp_path), str(tools)], 2)
    assert (tmp_path / "reached-0").exists()
    assert (tmp_path / "reached-1").exists()

    lines, tensors = outcome_of(tmp_path / "whole")
    again, same = outcome_of(tmp_path / "stopped")
    assert lines == again
    assert [line["validation"]["samples"] for line in lines] == [11, 11]
    for group, named in tensors.items():
        assert all(torch.equal(value, same[group][name]) for name, value in named.items())
    assert not torch.equal(tensors["random"]["0/torch"], tensors["random"]["1/torch"])

    model = mlp()
    run_training(
        model,
        TrainData(train=blobs(6, last=7), evaluations={"validation": blobs(3, size=4, last=3)}),
        config(clip_norm=1.0, ema_decay=0.9, accumulate=2),
        folder=tmp_path / "alone",
        masks=masks_of(model),
    )
    alone, _ = outcome_of(tmp_path / "alone")
    both, _ = outcome_of(tmp_path / "plain")
    for one, two in zip(alone, both, strict=True):
        # The same sums in another order: float32 roundings, carried through 6 steps of momentum.
        assert one["train"]["loss"] == pytest.approx(two["train"]["loss"], rel=1e-5)
        assert one["validation"]["loss"] == pytest.approx(two["validation"]["loss"], rel=1e-5)
        assert one["validation"]["top1"] == two["validation"]["top1"]


def script(body: str) -> list[str]:
    """A command whose processes do not import torch."""
    head = "import os, sys, signal, time\nfrom n2nsurgery.core.errors import *\n"
    head += "from n2nsurgery.training.distributed.rank_report import REPORTS, exit_code_of, write_report\n"
    head += "rank = int(os.environ['RANK'])\n"
    head += "def end(error):\n    write_report(os.environ[REPORTS], os.environ, error)\n"
    head += "    os._exit(exit_code_of(error) if error else 0)\n"
    return [sys.executable, "-c", head + body]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (
            "if rank:\n    os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(600)",
            RunError,
            "process 1 of 2 was killed by SIGKILL; the others were ended",
        ),
        (
            "time.sleep(0.3 * (1 - rank))\nend(UsageError('cause') if rank else RuntimeError('consequence'))",
            UsageError,
            r"^cause \(process 1 of 2\)$",
        ),
        ("end(ValueError('no number'))", RunError, r"ValueError: no number \(process \d of 2\)"),
        ("sys.exit('no way' if rank else 0)", RunError, "process 1 of 2 ended with code 1: no way"),
    ],
    ids=["killed", "raised", "unknown", "exited"],
)
def test_a_process_that_fails_ends_all_with_one_message(body, kind, message, monkeypatch):
    monkeypatch.setattr("n2nsurgery.training.distributed.distributed_launch._GRACE", 1.0)
    with pytest.raises(kind, match=message):
        launch(script(body), 2)


def test_processes_that_end_well_end_in_silence(capfd):
    launch(script("print(rank)\nend(None)"), 2)
    launch(script("write_report(os.environ[REPORTS], os.environ, None)\nos.abort()"), 2)  # after its work was done
    assert capfd.readouterr().err.replace("Aborted", "").strip() == ""


def test_a_wish_to_stop_is_passed_on_once(tmp_path):
    body = (
        "from pathlib import Path\nwished = []\nsignal.signal(signal.SIGTERM, lambda *_: wished.append(1))\n"
        f"Path({str(tmp_path)!r}, str(rank)).touch()\n"
        "while not wished: time.sleep(0.01)\n"
        "time.sleep(0.3 * rank)\nend(InterruptionError(f'saved {len(wished)}'))"
    )

    def interrupt():
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(InterruptionError, match=r"saved 1 \(process 0 of 2\)"):
        launch(script(body), 2)


def test_a_process_that_nobody_started_among_others_is_alone():
    with joined("cpu", {}) as processes:
        assert processes == SingleProcess(device=torch.device("cpu"))
        assert processes.all_reduce_any(flag=True)
        assert processes.all_gather(torch.ones(2))[0].tolist() == [1, 1]


def test_an_address_that_is_taken_is_named():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = str(listening.getsockname()[1])
        group = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        with pytest.raises(RunError, match=f"cannot meet at 127.0.0.1:{port} .*address"), joined("cpu", group):
            pass


def test_an_incomplete_environment_is_refused():
    with (
        pytest.raises(UsageError, match="lacks LOCAL_RANK, MASTER_ADDR, MASTER_PORT; use torchrun"),
        joined("cpu", {"RANK": "0", "WORLD_SIZE": "2"}),
    ):
        pass
