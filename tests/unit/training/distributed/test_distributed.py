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

from n2nsurgery.core.errors import InterruptionError, LostProcessError, RunError, UsageError
from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.core.sealed_folder import read_sealed
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.distributed.distributed import _losses_named, joined
from n2nsurgery.training.distributed.distributed_launch import launch
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.components import components_of
from n2nsurgery.training.loop.evaluation import evaluate
from n2nsurgery.training.loop.run import run_training

TRAINING = """
import importlib.util, os, signal, sys
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(1)
specification = importlib.util.spec_from_file_location("conftest", sys.argv[2])
tools = importlib.util.module_from_spec(specification)
specification.loader.exec_module(tools)
from n2nsurgery.core.errors import InterruptionError, UsageError, VerificationError
from n2nsurgery.pipelines.sparse_twins import sparse_twin
from n2nsurgery.training.config.dynamics import DynamicsConfig
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

def train_with_batch_statistics(processes):
    # Each process sees other samples, so each has statistics of its own until they are shared.
    options = {"shape": (2, 4, 4), "rank": processes.rank, "processes": 2}
    data = TrainData(
        train=tools.Blobs(4, size=8, **options), evaluations={"validation": tools.Blobs(2, size=8, **options)}
    )
    run_training(
        tools.convolutional(), data, tools.train_config(ema_decay=0.9, batch_size=8),
        folder=Path(sys.argv[1], "statistics"), processes=processes,
    )

def train_with_moving_masks(processes):
    def all_sparse(module, masks, request):
        layers = "all" if request.layers == "auto" else request.layers
        return sparse_twin(module, masks, replace(request, layers=layers))

    for rule, engine in (("rigl", "dense"), ("rigl", "sparse"), ("set", "sparse"), ("gmp", "auto")):
        model = tools.perceptron()
        until = {"until": 0.5} if rule == "gmp" else {}
        config = tools.train_config(
            dynamics=DynamicsConfig(name=rule, every=2, **until), engine=engine, ema_decay=0.9, clip_norm=1.0
        )
        run_training(
            model, TrainData(train=tools.Blobs(6, rank=processes.rank, processes=2)), config,
            folder=Path(sys.argv[1], f"{rule}-{engine}"), processes=processes, masks=tools.random_masks(model),
            twins=all_sparse,
        )

with joined("cpu") as processes:
    assert processes.size == 2
    train_with_batch_statistics(processes)
    try:
        tools_of_one = {"accumulate": 1 + processes.rank, "clip_norm": 1.0}
        run_training(
            tools.perceptron(), TrainData(train=tools.Blobs(6)), tools.train_config(**tools_of_one),
            folder=Path(sys.argv[1], "none"), processes=processes,
        )
    except UsageError as error:
        assert "config.accumulate is 2, in process 0 1" in str(error)
    else:
        raise AssertionError("another configuration in one process was not noticed")
    train(processes, "plain", 0.0)
    train(processes, "whole", 0.3)
    try:
        train(processes, "stopped", 0.3, batches_of=Stopping)
    except InterruptionError as error:
        assert "resume" in str(error)
    else:
        raise AssertionError("the wish of process 1 was not granted")
    train(processes, "stopped", 0.3, resume=True)
    train_with_moving_masks(processes)
    train(processes, "grown", 0.3, resume=True)  # one process has trained its first epoch
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


def test_two_processes_train_as_one_resume_exactly_and_end_with_one_message(
    mlp, convnet, blobs, masks_of, config, tmp_path
):
    tools = Path(__file__).parents[1] / "conftest.py"
    model = mlp(0.3)
    run_training(
        model,
        TrainData(train=blobs(6, last=7), evaluations={"validation": blobs(3, size=4, last=3)}),
        config(epochs=1, clip_norm=1.0, ema_decay=0.9, accumulate=2),
        folder=tmp_path / "grown",
        masks=masks_of(model),
    )
    with pytest.raises(UsageError, match=r"^planted \(process 1 of 2\)$"):
        launch([sys.executable, "-c", TRAINING, str(tmp_path), str(tools)], 2)
    assert (tmp_path / "reached-0").exists()
    assert (tmp_path / "reached-1").exists()

    grown, both = outcome_of(tmp_path / "grown")
    assert [line["epoch"] for line in grown] == [1, 2]
    assert {name.partition("/")[0] for name in both["random"]} == {"0", "1"}
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

    for rule, engine in (("rigl", "dense"), ("rigl", "sparse"), ("set", "sparse"), ("gmp", "auto")):
        # Gradients of both processes have grown what those of one alone grow.
        model, until = mlp(), {"until": 0.5} if rule == "gmp" else {}
        fields = {"ema_decay": 0.9, "clip_norm": 1.0, "engine": "dense"}
        run_training(
            model,
            TrainData(train=blobs(6)),
            config(dynamics=DynamicsConfig(name=rule, every=2, **until), **fields),
            folder=tmp_path / f"alone-{rule}-{engine}",
            masks=masks_of(model),
        )
        (lines, two), (_, one) = (outcome_of(tmp_path / f"{where}{rule}-{engine}") for where in ("", "alone-"))
        assert all(torch.equal(mask, two["masks"][name]) for name, mask in one["masks"].items())
        for name, weight in one["average"].items():  # 12 steps, rounded otherwise
            torch.testing.assert_close(two["average"][name], weight, rtol=1e-4, atol=1e-5)
        used = ["dense", "sparse"] if engine == "auto" else [engine] * 2
        assert [line["engine"]["name"] for line in lines] == used

    files = read_sealed(tmp_path / "statistics" / "checkpoints" / "e00002-b0000000", "checkpoint")
    network = convnet()
    network.load_state_dict(dict(files.tensor_set("average")))
    whole = blobs(2, size=8, shape=(2, 4, 4))
    measured = evaluate(
        network, whole, components=components_of(config()), processes=SingleProcess(device=torch.device("cpu"))
    )
    reported, _ = outcome_of(tmp_path / "statistics")
    # The losses of 16 samples, added in another order: float32 roundings.
    assert reported[-1]["validation"]["loss"] == pytest.approx(measured.loss, rel=1e-6)
    assert reported[-1]["validation"]["top1"] == dict(measured.metrics)["top1"]


def script(body: str) -> list[str]:
    """A command whose processes end as those of `joined` do, without importing torch."""
    head = "import json, os, sys, signal, time\nfrom pathlib import Path\nfrom n2nsurgery.core.errors import *\n"
    head += "from n2nsurgery.training.distributed.error_files import done_file, exit_code_of\n"
    head += "rank = int(os.environ['RANK'])\n"
    head += "def end(error):\n    words = {'message': f'{type(error).__name__}: {error}'}\n"
    head += "    words['extraInfo'] = {'timestamp': '0'}\n"
    head += "    Path(os.environ['TORCHELASTIC_ERROR_FILE']).write_text(json.dumps({'message': words}))\n"
    head += "    os._exit(0 if isinstance(error, InterruptionError) else exit_code_of(error))\n"
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
def test_a_process_that_fails_ends_all_with_one_message(body, kind, message):
    with pytest.raises(kind, match=message):
        launch(script(body), 2)


def test_processes_that_end_well_end_in_silence(capfd):
    launch(script("print(rank)\nsys.stderr.write('x')"), 2)
    done = "if rank: time.sleep(600)\ndone_file(Path(os.environ['TORCHELASTIC_ERROR_FILE'])).touch()\nos.abort()"
    launch(script(done), 2)  # aborted after its work was done
    written = capfd.readouterr()
    assert (written.out, written.err) == ("0\n", "x")  # those of process 0 alone


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
        with (
            pytest.raises(RunError, match=f"2 processes cannot meet at 127.0.0.1:{port} .*address"),
            joined("cpu", group),
        ):
            pass


def test_an_incomplete_environment_is_refused():
    with (
        pytest.raises(UsageError, match="lacks LOCAL_RANK, MASTER_ADDR, MASTER_PORT; use torchrun"),
        joined("cpu", {"RANK": "0", "WORLD_SIZE": "2"}),
    ):
        pass


def test_a_place_where_nobody_meets_is_named_while_waiting_and_given_up(monkeypatch, caplog):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))  # bound, and not listening: nobody can be met there
        port = listening.getsockname()[1]
        group = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1"}
        group["MASTER_PORT"] = str(port)
        monkeypatch.setattr("n2nsurgery.training.distributed.distributed._PATIENCE", 0.05)
        message = f"2 processes cannot meet at 127.0.0.1:{port} .* within 1 seconds"
        with pytest.raises(RunError, match=message), joined("cpu", group, timeout=1.0):
            pass
    assert f"process 1 is waiting for 2 processes at 127.0.0.1:{port}" in caplog.text


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ("[gloo/transport/tcp/pair.cc:1] Connection closed by peer [x]", LostProcessError, "failed or was killed"),
        ("[gloo/x.cc:8] Timed out waiting 7000ms for recv", RunError, "did not answer within 7 seconds: .*longer"),
    ],
)
def test_a_process_that_is_gone_and_one_that_does_not_answer_are_told_apart(words, kind, message):
    with pytest.raises(RunError, match=message) as caught, _losses_named(7.0):
        raise RuntimeError(words)
    assert type(caught.value) is kind
    with pytest.raises(ValueError, match="ours"), _losses_named(7.0):
        raise ValueError("ours")
