"""A run that was killed at any moment and resumed ends bit-identical to one that was not."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from n2nsurgery.core import sealed_folder
from n2nsurgery.core.errors import InterruptionError, InvalidFileError, RunError, UsageError
from n2nsurgery.core.sealed_folder import read_sealed
from n2nsurgery.training.engine.record import EngineRecord
from n2nsurgery.training.loop import train_state, trainer
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.events import Callbacks
from n2nsurgery.training.loop.run import run_training
from n2nsurgery.training.state import checkpoints
from n2nsurgery.training.state.checkpoints import best_checkpoint, trained_weights
from n2nsurgery.training.state.saved_state import Identity, Position, SavedState, require_same_run


class Killed(BaseException):
    """Nothing after this moment happens."""


class Mortality:
    """Counts the moments at which files change; from moment `last` on the process is dead, and changes nothing."""

    def __init__(self, monkeypatch, last=None):
        self.count, self.last = 0, last
        places = [(sealed_folder, "save_file"), (sealed_folder, "_write_json"), (os, "fsync"), (shutil, "rmtree")]
        places += [(Path, name) for name in ("rename", "replace", "unlink", "mkdir", "write_text")]
        for owner, name in places:
            monkeypatch.setattr(owner, name, self.mortal(name, getattr(owner, name)))

    def mortal(self, name, original):
        def act(*arguments, **options):
            self.count += 1
            if self.last is not None and self.count >= self.last:
                if name == "rmtree" and self.count == self.last:  # it got no further than one file
                    for file in [*Path(arguments[0]).glob("*")][:1]:
                        os.unlink(file)  # noqa: PTH108 - Path.unlink is dead
                raise Killed
            return original(*arguments, **options)

        return act


def jittered(inputs, targets, generator):
    """Noise from the batch's own generator and from both global ones that transforms draw from."""
    noise = torch.randn(inputs.shape, generator=generator) + random.random() + np.random.rand()  # noqa: NPY002, S311
    return inputs + 0.1 * noise, targets


@pytest.fixture
def train(convnet, blobs, masks_of, config):
    """Train a small network with everything that has state: dropout, batch statistics, momentum, average, masks."""

    def train(folder, *, resume=False, allow_changes=False, batches=None, on_step=lambda _: None, **changes):
        model = convnet()
        fields = {"epochs": 2, "checkpoint_steps": 2, "accumulate": 2, "ema_decay": 0.9, "clip_norm": 1.0, **changes}
        run_training(
            model,
            TrainData(
                train=batches or blobs(5, size=4, shape=(2, 4, 4)),
                evaluations={"validation": blobs(2, size=8, shape=(2, 4, 4))},
                mixing=jittered,
            ),
            config(**fields),
            folder=folder,
            masks=masks_of(model),
            resume=resume,
            callbacks=Callbacks(on_step=on_step),
            allow_changes=allow_changes,
        )
        return outcome_of(folder)

    return train


def without_timing(document):
    """A JSON document without what was measured with a clock."""
    if isinstance(document, dict):
        return {key: without_timing(value) for key, value in document.items() if key not in {"timing", "seconds"}}
    return [without_timing(item) for item in document] if isinstance(document, list) else document


def outcome_of(folder):
    """Everything that a run leaves: metrics, the last checkpoint's document and its tensors as bytes."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = max(path for path in (folder / "checkpoints").iterdir() if path.name.startswith("e"))
    files = read_sealed(last, "checkpoint")
    tensors = {
        f"{group}/{name}": tensor.reshape(-1).view(torch.uint8).tolist()
        for group, named in files.tensors.items()
        for name, tensor in named.items()
    }
    return last.name, without_timing(lines), without_timing(files.document("state")), tensors


@pytest.fixture
def expected(train, tmp_path):
    return train(tmp_path / "whole")


def test_the_run_that_is_compared_with_holds_every_kind_of_state(expected):
    _, lines, state, tensors = expected
    assert [line["epoch"] for line in lines] == [1, 2]
    assert state["position"] == {"epoch": 2, "batch": 0, "step": 6}
    assert {name.partition("/")[0] for name in tensors} == {"model", "optimizer", "average", "random"}
    assert "random/0/python" in tensors
    assert any(name.endswith("momentum_buffer") for name in tensors)


def test_two_runs_are_bit_identical_whatever_the_global_generators_held(train, expected, tmp_path):
    random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002, S311
    before = torch.random.get_rng_state(), random.getstate()
    assert train(tmp_path / "second") == expected
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_a_run_killed_at_any_change_of_a_file_resumes_bit_identically(train, expected, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        alive = Mortality(patch)
        train(tmp_path / "counted")
    assert alive.count > 100
    # A save changes files at some twenty moments: every third of four saves visits each kind of them.
    for moment in range(1, alive.count + 1, 3):
        folder = tmp_path / f"killed-{moment}"
        with pytest.MonkeyPatch.context() as patch:
            Mortality(patch, last=moment)
            with pytest.raises(Killed):
                train(folder)
        assert train(folder, resume=True) == expected, moment
        assert not list(folder.rglob(".staging-*")), moment
        shutil.rmtree(folder)


@pytest.mark.parametrize("step", range(1, 7))
def test_a_run_killed_after_any_step_resumes_bit_identically(train, expected, tmp_path, step):
    def die(progress):
        if progress.step == step:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "killed", on_step=die)
    assert train(tmp_path / "killed", resume=True) == expected


def test_a_run_killed_twice_resumes_bit_identically(train, expected, tmp_path):
    for deadly in (3, 5):

        def die(progress, deadly=deadly):
            if progress.step == deadly:
                raise Killed

        with pytest.raises(Killed):
            train(tmp_path / "killed", resume=True, on_step=die)
    assert train(tmp_path / "killed", resume=True) == expected


def test_resuming_a_finished_run_changes_nothing(train, expected, tmp_path):
    assert train(tmp_path / "whole", resume=True) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"name": "adamw", "lr": 0.01}},
        {"optimizer": {"momentum": 0.0, "nesterov": False}, "ema_decay": None},
        {"amp": "bf16", "channels_last": True},
        {"amp": "fp16"},
        {"schedule": {"name": "cosine", "floor": 0.0, "warm_up_epochs": 0.5}, "deterministic": True},
    ],
    ids=["AdamW", "bare SGD", "bf16 channels last", "fp16", "cosine"],
)
def test_every_kind_of_run_resumes_bit_identically(train, tmp_path, changes):
    with pytest.raises(Killed):
        train(tmp_path / "killed", on_step=die_at_four, **changes)
    resumed = train(tmp_path / "killed", resume=True, **changes)
    assert resumed == train(tmp_path / "whole", **changes)
    assert (resumed[2]["scaler"] is not None) == (changes.get("amp") == "fp16")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_saves_at_the_next_step_boundary(train, expected, tmp_path, name):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def interrupt(progress):
        if progress.step == 4:
            os.kill(os.getpid(), signal.Signals[name])

    with pytest.raises(InterruptionError, match=f"interrupted by {name} after step 4; the state is saved") as caught:
        train(tmp_path / "stopped", on_step=interrupt)
    assert caught.value.exit_code == 130
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert train(tmp_path / "stopped", resume=True) == expected


def test_a_signal_during_the_evaluation_saves_before_it(train, expected, tmp_path, monkeypatch):
    evaluate = trainer.evaluate

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(trainer, "evaluate", interrupted)
    for _ in range(2):  # the second time the very same state is asked to be saved once more
        with pytest.raises(InterruptionError, match="after step 3"):
            train(tmp_path / "stopped", resume=True)
    monkeypatch.undo()
    assert train(tmp_path / "stopped", resume=True) == expected


def test_a_resume_without_the_random_states_is_not_the_same_run(train, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(train_state, "restore_random_state", lambda *_: None)
    with pytest.raises(Killed):
        train(tmp_path / "killed", on_step=die_at_four)
    assert train(tmp_path / "killed", resume=True) != expected


def test_a_resume_without_the_optimizers_state_is_not_the_same_run(train, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(train_state, "load_optimizer_state", lambda *_: None)
    with pytest.raises(Killed):
        train(tmp_path / "killed", on_step=die_at_four)
    assert train(tmp_path / "killed", resume=True) != expected


def die_at_four(progress):
    if progress.step == 4:
        raise Killed


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
@pytest.mark.parametrize("file", ["manifest.json", "model.safetensors", "state.json", "random.safetensors"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(train, expected, tmp_path, caplog, damage, file):
    train_until = tmp_path / "whole"
    damage(train_until / "checkpoints" / "e00002-b0000000" / file)
    with caplog.at_level(logging.WARNING, logger="n2nsurgery"):
        assert train(train_until, resume=True) == expected
    assert "checkpoint 'e00002-b0000000' is passed over" in caplog.text
    assert file in caplog.text


@pytest.mark.usefixtures("expected")
def test_with_every_checkpoint_damaged_nothing_is_trained_from_the_start(train, tmp_path):
    names = sorted(path.name for path in (tmp_path / "whole" / "checkpoints").glob("e*"))
    for name in names:
        (tmp_path / "whole" / "checkpoints" / name / "manifest.json").unlink()
    with pytest.raises(InvalidFileError, match="is whole: restore one, or remove the folder") as caught:
        train(tmp_path / "whole", resume=True)
    assert all(name in str(caught.value) for name in names)


def test_a_run_killed_while_it_evaluates_loses_no_epoch(train, expected, tmp_path, monkeypatch):
    evaluate, calls, steps = trainer.evaluate, [], []

    def deadly(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return evaluate(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "evaluate", deadly)
        with pytest.raises(Killed):
            train(tmp_path / "killed")
    assert train(tmp_path / "killed", resume=True, on_step=steps.append) == expected
    assert steps == []  # the second epoch was there, and only its evaluation was missing


def test_opening_removes_what_a_killed_run_had_no_time_to_remove(train, expected, tmp_path):
    def listing(folder):
        names = sorted(path.name for path in (folder / "checkpoints").iterdir())
        return names, json.loads((folder / "checkpoints" / "index.json").read_text())

    undisturbed = listing(tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "_tidy", lambda *_: None)
        train(tmp_path / "untidy")
    (tmp_path / "untidy" / "checkpoints" / "index.json").write_text('{"last": "e00001-b0000000"}')
    assert len(list((tmp_path / "untidy" / "checkpoints").glob("e*"))) == 6  # three of each epoch
    assert train(tmp_path / "untidy", resume=True) == expected
    assert listing(tmp_path / "untidy") == undisturbed


def test_a_full_disk_is_said_and_the_checkpoint_before_stays(train, expected, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)

    def fill(progress):
        if progress.step == 5:
            monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))

    with pytest.raises(RunError, match="no space left in"):
        train(tmp_path / "full", on_step=fill)
    monkeypatch.undo()
    names = sorted(path.name for path in (tmp_path / "full" / "checkpoints").iterdir())
    assert (
        names == ["e00000-b0000004", "e00001-b0000000", "e00001-b0000002", "index.json"] or "e00001-b0000002" in names
    )
    assert train(tmp_path / "full", resume=True) == expected


@pytest.mark.usefixtures("expected")
def test_a_folder_that_holds_a_run_is_not_trained_into_by_accident(train, tmp_path):
    with pytest.raises(
        UsageError, match="already holds checkpoints: resume that run, overwrite it, or choose another folder"
    ):
        train(tmp_path / "whole")


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"optimizer": {"lr": 0.2}}, r"config.optimizer.lr was 0.1 and is 0.2"),
        ({"seed": 1}, "config.seed was 0 and is 1"),
        ({"schedule": {"name": "cosine", "floor": 0.0}}, "config.schedule.name was 'constant' and is 'cosine'"),
    ],
)
def test_another_run_cannot_be_resumed(train, tmp_path, changes, difference):
    with pytest.raises(UsageError, match=difference):
        train(tmp_path / "whole", resume=True, **changes)


def test_with_leave_a_run_goes_on_with_another_rate_and_says_that_it_is_no_longer_the_same(train, tmp_path, caplog):
    with pytest.raises(Killed):
        train(tmp_path / "killed", on_step=die_at_four)
    with caplog.at_level(logging.WARNING, logger="n2nsurgery"):
        _, lines, state, _ = train(
            tmp_path / "killed",
            resume=True,
            allow_changes=True,
            optimizer={"lr": 0.2},
            schedule={"name": "cosine", "floor": 0.0},
        )
    assert "config.optimizer.lr was 0.1 and is 0.2" in caplog.text
    assert "config.schedule.name was 'constant' and is 'cosine'" in caplog.text
    assert "may differ from a run that had them from its start" in caplog.text
    assert [line["lr"] for line in lines] == [0.1, pytest.approx(0.2 * (1 + math.cos(math.pi * 5 / 6)) / 2)]
    assert state["identity"]["config"]["optimizer"]["lr"] == 0.2


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"accumulate": 1}, "config.accumulate was 2 and is 1"),
        ({"ema_decay": None}, "config.ema_decay was 0.9 and is None"),
        ({"optimizer": {"name": "adamw"}}, "config.optimizer.name was 'sgd' and is 'adamw'"),
        ({"batches": "six"}, "batches was 5 and is 6"),
    ],
)
def test_what_a_saved_state_does_not_fit_is_refused_with_leave_too(train, blobs, tmp_path, changes, difference):
    if "batches" in changes:
        changes = {"batches": blobs(6, size=4, shape=(2, 4, 4))}
    with pytest.raises(UsageError, match=difference):
        train(tmp_path / "whole", resume=True, allow_changes=True, **changes)


def test_another_number_of_processes_is_accepted_and_said(config):
    one = Identity(config=config(), processes=1, batches=5, masks="a", subject="b")
    assert require_same_run(one, one, "here") == ()
    assert require_same_run(one, replace(one, processes=4), "here") == ("processes was 1 and is 4",)
    with pytest.raises(UsageError, match="belongs to another run: it is of another model, data set, surgery or seed"):
        require_same_run(one, replace(one, subject="c"), "here", allow_changes=True)


def test_a_state_of_a_version_with_fewer_options_is_read_with_their_defaults(config):
    saved = SavedState(
        position=Position(epoch=1), sums=(), seconds=1.0, history=(), averaged=None, scaler=None, score=None,
        engine=EngineRecord(), identity=Identity(config=config(), processes=1, batches=5, masks="a", subject="b"),
    )  # fmt: skip
    document = saved.to_json()
    del document["identity"]["config"]["distributed_timeout"]
    del document["identity"]["config"]["optimizer"]["nesterov"]
    assert SavedState.from_json(json.loads(json.dumps(document)), "here") == saved
    document["identity"]["config"]["unheard_of"] = 1
    with pytest.raises(InvalidFileError, match="unknown keys \\['unheard_of'\\]"):
        SavedState.from_json(document, "here")


@pytest.mark.usefixtures("expected")
def test_a_run_may_be_made_longer(train, tmp_path):
    longer = train(tmp_path / "whole", resume=True, epochs=3)
    assert longer == train(tmp_path / "three", epochs=3)
    assert [line["epoch"] for line in longer[1]] == [1, 2, 3]


@pytest.mark.usefixtures("expected")
def test_the_best_checkpoint_is_found_again_and_holds_the_averaged_weights(tmp_path):
    best = best_checkpoint(tmp_path / "whole")
    index = json.loads((tmp_path / "whole" / "checkpoints" / "index.json").read_text())
    assert best.name == index["best"]
    weights = trained_weights(best)
    averaged = read_sealed(best, "checkpoint").tensor_set("average")
    assert all(torch.equal(weights[name], value) for name, value in averaged.items())
    with pytest.raises(InvalidFileError, match="holds no checkpoint that is whole"):
        best_checkpoint(tmp_path / "nowhere")


SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(1)
import importlib.util
specification = importlib.util.spec_from_file_location("conftest", sys.argv[2])
tools = importlib.util.module_from_spec(specification)
specification.loader.exec_module(tools)
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.events import Callbacks
from n2nsurgery.training.loop.run import run_training
model = tools.convolutional()
run_training(
    model, TrainData(train=tools.Blobs(10, size=4, shape=(2, 4, 4))),
    tools.train_config(epochs=3, checkpoint_steps=1, ema_decay=0.9),
    folder=Path(sys.argv[1]), masks=tools.random_masks(model), resume=True,
    callbacks=Callbacks(on_step=lambda progress: print(progress.step, flush=True)),
)
"""


def test_a_process_that_was_really_killed_resumes_bit_identically(convnet, blobs, masks_of, config, tmp_path):
    def whole(folder, *, resume):
        model = convnet()
        run_training(
            model,
            TrainData(train=blobs(10, size=4, shape=(2, 4, 4))),
            config(epochs=3, checkpoint_steps=1, ema_decay=0.9),
            folder=folder,
            masks=masks_of(model),
            resume=resume,
        )
        return outcome_of(folder)

    tools = Path(__file__).with_name("conftest.py")
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "killed"), str(tools)], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if int(line) == 17:
            process.kill()  # somewhere in the step or in the save after it: every step is saved
            break
    assert process.wait(timeout=60) == -signal.SIGKILL
    process.stdout.close()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert whole(tmp_path / "killed", resume=True) == whole(tmp_path / "whole", resume=False)
    finally:
        torch.set_num_threads(threads)
