from __future__ import annotations

import csv
import json
import math
import os
import signal
import sys
import types
from dataclasses import dataclass, replace
from unittest import mock

import pytest
import torch
from torch import nn

from n2nsurgery.core.errors import InterruptionError, RunError, UsageError
from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.core.sealed_folder import read_sealed
from n2nsurgery.masks.enforcer import MaskEnforcer
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.parameter_groups import make_optimizer
from n2nsurgery.training.loop import trainer
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.components import components_of
from n2nsurgery.training.loop.evaluation import evaluate
from n2nsurgery.training.loop.events import Callbacks
from n2nsurgery.training.loop.run import run_training
from n2nsurgery.training.metrics.digests import digest
from n2nsurgery.training.state.checkpoints import trained_weights

CPU = torch.device("cpu")
CLASSIFICATION = components_of(TrainConfig())
PLAIN = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}


def lines_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_training_learns_and_says_so(mlp, blobs, config, tmp_path):
    heard, seen = [], []
    outcome = run_training(
        mlp(),
        TrainData(train=blobs(20), evaluations={"validation": blobs(4, size=30), "test": blobs(2, size=30)}),
        config(epochs=3),
        folder=tmp_path,
        callbacks=Callbacks(on_epoch=heard.append, on_step=seen.append),
    )
    assert outcome.history == tuple(heard)
    assert outcome.steps == 60
    # One in three is chance; the classes are two standard deviations apart, so that most can be told.
    assert outcome.history[-1].score > 0.7
    assert outcome.history[-1].loss < outcome.history[0].loss
    assert [(p.epoch, p.step, p.steps) for p in seen[:: len(seen) - 1]] == [(1, 1, 60), (3, 60, 60)]
    assert seen[-1].seconds_left == 0
    assert seen[0].seconds_left > 0
    assert seen[0].images_per_second > 0


def test_metrics_are_one_line_for_each_epoch_and_the_csv_says_the_same(mlp, blobs, config, tmp_path):
    run_training(
        mlp(),
        TrainData(train=blobs(), evaluations={"validation": blobs(2)}),
        config(evaluate_every=2, epochs=3),
        folder=tmp_path,
    )
    lines = lines_of(tmp_path)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert ["validation" in line for line in lines] == [False, True, True]
    assert lines[-1].keys() == {"epoch", "step", "lr", "train", "validation", "engine", "timing"}
    assert lines[-1]["train"].keys() == {"loss", "top1", "top5"}
    assert lines[-1]["validation"].keys() == {"loss", "top1", "top5", "samples"}
    assert lines[-1]["timing"].keys() == {"seconds", "evaluation_seconds", "images_per_second", "measured_gain"}
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["validation_top1"] != "" for row in rows] == [False, True, True]
    assert [float(row["train_loss"]) for row in rows] == [line["train"]["loss"] for line in lines]


def test_old_checkpoints_go_and_the_best_stay(mlp, blobs, config, tmp_path, monkeypatch):
    scores = iter([0.5, 0.9, 0.7, 0.9, 0.6, 0.1])
    monkeypatch.setattr(
        trainer,
        "evaluate",
        lambda *a, **o: replace(evaluate(*a, **o), metrics=(("top1", next(scores)),), loss=math.inf),
    )
    outcome = run_training(
        mlp(),
        TrainData(train=blobs(), evaluations={"validation": blobs()}),
        config(epochs=6, keep_last=2, keep_best=2),
        folder=tmp_path,
    )
    folder = tmp_path / "checkpoints"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["e00002-b0000000", "e00004-b0000000", "e00005-b0000000", "e00006-b0000000", "index.json"]
    assert json.loads((folder / "index.json").read_text()) == {
        "last": "e00006-b0000000",
        "best": "e00002-b0000000",
        "top": ["e00002-b0000000", "e00004-b0000000"],
    }
    assert (outcome.last.name, outcome.best.name) == ("e00006-b0000000", "e00002-b0000000")
    assert lines_of(tmp_path)[0]["validation"]["loss"] is None


def test_without_a_validation_split_the_best_is_the_last(mlp, blobs, config, tmp_path):
    outcome = run_training(mlp(), TrainData(train=blobs(), evaluations={"test": blobs(1)}), config(), folder=tmp_path)
    assert outcome.best == outcome.last
    weights = trained_weights(outcome.best)
    assert weights.keys() == mlp().state_dict().keys()


class Exploding(nn.Module):
    """A linear model whose output is not a number in forward pass `last`."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.linear, self.calls, self.last = nn.Linear(8, 3), 0, last

    def forward(self, x):
        self.calls += self.training
        return self.linear(x) * (math.nan if self.calls == self.last and self.training else 1.0)


def test_a_loss_that_is_not_finite_ends_the_run_and_the_last_checkpoint_stays(blobs, config, tmp_path):
    with pytest.raises(RunError, match=r"the loss of step 7 is not finite; a lower learning rate"):
        run_training(Exploding(8), TrainData(train=blobs(5)), config(), folder=tmp_path)
    last = read_sealed(tmp_path / "checkpoints" / "e00001-b0000000", "checkpoint")
    assert all(value.isfinite().all() for value in last.tensor_set("model").values())


def test_weights_that_are_not_finite_are_never_saved(mlp, blobs, config, tmp_path):
    model = mlp()

    def explode(progress):
        if progress.step == 5:
            model.get_parameter("0.weight").data[0, 0] = math.inf

    with pytest.raises(RunError, match=r"'0.weight' is no longer finite after step 5"):
        run_training(model, TrainData(train=blobs(5)), config(), folder=tmp_path, callbacks=Callbacks(on_step=explode))
    assert not (tmp_path / "checkpoints").exists()


def test_accumulated_batches_equal_one_large_batch(mlp, blobs, config, tmp_path):
    small, large = mlp(), mlp()
    halves = blobs(4, size=6, last=3)

    class Whole:
        def __len__(self):
            return 2

        def epoch(self, number, start=0):
            pairs = list(halves.epoch(number))[2 * start :]
            for one, two in zip(pairs[::2], pairs[1::2], strict=True):
                yield torch.cat([one[0], two[0]]), torch.cat([one[1], two[1]])

    run_training(small, TrainData(train=halves), config(accumulate=2, optimizer=PLAIN), folder=tmp_path / "small")
    run_training(large, TrainData(train=Whole()), config(optimizer=PLAIN), folder=tmp_path / "large")
    for name, parameter in small.named_parameters():
        # Sums of 12 products in another order: a few roundings of float32 in each of 4 steps.
        torch.testing.assert_close(parameter, large.get_parameter(name), rtol=1e-5, atol=1e-6)


def test_label_smoothing_and_mixed_targets_enter_the_loss(mlp, blobs, config, tmp_path):
    def soft(inputs, targets, generator):
        weights = torch.rand(len(targets), 1, generator=generator)
        one = nn.functional.one_hot(targets, 3)
        return inputs, weights * one + (1 - weights) / 3

    losses = []
    for mixing in (None, soft):
        model = mlp()
        configured = config(epochs=1, label_smoothing=0.2, optimizer={**PLAIN, "lr": 1e-12}, schedule={"floor": 0.0})
        outcome = run_training(
            model, TrainData(train=blobs(1), mixing=mixing), configured, folder=tmp_path / str(mixing is None)
        )
        losses.append(outcome.history[0].loss)
    inputs, targets = next(blobs(1).epoch(0))
    expected = nn.functional.cross_entropy(mlp()(inputs), targets, label_smoothing=0.2)
    assert losses[0] == pytest.approx(expected.item(), rel=1e-6)  # one float32 rounding
    assert losses[1] != losses[0]


def test_the_averaged_weights_are_those_that_are_evaluated(mlp, blobs, config, tmp_path):
    model = mlp()
    outcome = run_training(
        model, TrainData(train=blobs(), evaluations={"validation": blobs(3)}), config(ema_decay=0.99), folder=tmp_path
    )
    own = evaluate(model, blobs(3), CLASSIFICATION, processes=SingleProcess(device=CPU)).loss
    model.load_state_dict(dict(trained_weights(outcome.last)))
    averaged = evaluate(model, blobs(3), CLASSIFICATION, processes=SingleProcess(device=CPU)).loss
    assert outcome.history[-1].evaluations[0].loss == averaged != own


def test_evaluation_is_in_eval_mode_over_every_sample_and_leaves_no_trace(convnet, blobs):
    model = convnet()
    model[1].eval()  # frozen batch statistics stay frozen
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = blobs(3, size=5, last=2, shape=(2, 4, 4))
    score = evaluate(model, batches, CLASSIFICATION, processes=SingleProcess(device=CPU))
    assert [module.training for module in (model, model[1], model[3])] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    inputs, targets = (torch.cat(parts) for parts in zip(*batches.epoch(0), strict=True))
    logits = model.eval()(inputs)
    assert score.samples == 12
    # The mean over all samples in one batch, in float32, against sums of three batches.
    assert score.loss == pytest.approx(nn.functional.cross_entropy(logits, targets).item(), rel=1e-5)
    assert dict(score.metrics)["top1"] == pytest.approx((logits.argmax(1) == targets).float().mean().item())
    assert dict(score.metrics)["top5"] == 1  # there are three classes


def test_top_five_counts_labels_among_the_first_five():
    class Fixed(nn.Module):
        def forward(self, x):
            return torch.arange(8.0).expand(len(x), 8)

    class One:
        def __len__(self):
            return 1

        def epoch(self, number, start=0):  # noqa: ARG002
            yield torch.zeros(8, 1), torch.arange(8)

    score = evaluate(Fixed(), One(), CLASSIFICATION, processes=SingleProcess(device=CPU))
    assert score.metrics == (("top1", 1 / 8), ("top5", 5 / 8))


def test_the_learning_rate_of_every_step_is_that_of_the_schedule(mlp, blobs, config, tmp_path):
    seen = []
    schedule = {
        "name": "step",
        "step_epochs": 1,
        "gamma": 0.5,
        "floor": 0.0,
        "warm_up_epochs": 0.4,
        "warm_up_from": 0.5,
    }
    heard = Callbacks(on_step=lambda progress: seen.append(progress.lr))
    run_training(mlp(), TrainData(train=blobs(5)), config(schedule=schedule), folder=tmp_path, callbacks=heard)
    assert seen == pytest.approx([0.05, 0.075, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05], rel=1e-15)
    assert [line["lr"] for line in lines_of(tmp_path)] == [0.1, 0.05]


def test_deterministic_mode_refuses_an_operation_that_is_not_and_ends_with_the_run(mlp, blobs, config, tmp_path):
    class Undetermined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()

        def forward(self, x):
            if torch.are_deterministic_algorithms_enabled():
                raise RuntimeError("put_ does not have a deterministic implementation")
            return self.inner(x)

    with pytest.raises(RunError, match=r"deterministic implementation \(deterministic mode refuses it"):
        run_training(Undetermined(), TrainData(train=blobs()), config(deterministic=True), folder=tmp_path / "strict")
    assert not torch.are_deterministic_algorithms_enabled()
    run_training(Undetermined(), TrainData(train=blobs()), config(), folder=tmp_path / "free")
    run_training(mlp(), TrainData(train=blobs()), config(deterministic=True), folder=tmp_path / "fine")


def test_a_split_without_batches_is_refused(mlp, blobs, config, tmp_path):
    with pytest.raises(UsageError, match="the train split has no batch"):
        run_training(mlp(), TrainData(train=blobs(0)), config(), folder=tmp_path)
    with pytest.raises(UsageError, match="the test split has no batch"):
        run_training(mlp(), TrainData(train=blobs(), evaluations={"test": blobs(0)}), config(), folder=tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_said(mlp, blobs, config, tmp_path, device):
    with pytest.raises(RunError, match=f"device '{device}' was asked for .* torch sees 0 CUDA devices"):
        run_training(mlp(), TrainData(train=blobs()), config(device=device), folder=tmp_path)


def test_memory_that_runs_out_is_said(blobs, config, tmp_path):
    class Huge(nn.Linear):
        def forward(self, x):  # noqa: ARG002
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(RunError, match=r"cpu has no memory left with batches of 12 .* raise accumulate"):
        run_training(Huge(8, 3), TrainData(train=blobs()), config(), folder=tmp_path)


def test_tensorboard_is_said_to_be_missing_before_anything_is_trained(mlp, blobs, config, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(RunError, match=r"tensorboard needs tensorboard, which is not installed: pip install"):
        run_training(mlp(), TrainData(train=blobs()), config(tensorboard=True), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_shows_what_the_csv_holds(mlp, blobs, config, tmp_path, monkeypatch):
    shown, closed = [], []

    class Writer:
        def __init__(self, folder, purge_step):
            assert (folder, purge_step) == (str(tmp_path / "tensorboard"), 0)

        def add_scalar(self, tag, value, step):
            shown.append((tag, value, step))

        def close(self):
            closed.append(True)

    module = types.SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    outcome = run_training(
        mlp(), TrainData(train=blobs(), evaluations={"validation": blobs(1)}), config(tensorboard=True), folder=tmp_path
    )
    assert ("train_loss", outcome.history[0].loss, 5) in shown
    assert ("validation_top1", outcome.history[1].score, 10) in shown
    assert closed == [True]


def test_a_compiled_network_is_called_and_the_names_stay_clean(mlp, blobs, config, tmp_path, monkeypatch):
    called = []

    class Compiled(nn.Module):
        def __init__(self, module):
            super().__init__()
            self._orig_mod = module

        def forward(self, x):
            called.append(len(x))
            return self._orig_mod(x)

    monkeypatch.setattr(torch, "compile", Compiled)
    outcome = run_training(mlp(), TrainData(train=blobs()), config(compile=True), folder=tmp_path)
    assert called == [12] * 10
    assert trained_weights(outcome.last).keys() == mlp().state_dict().keys()


def test_spared_parameters_do_not_decay_and_the_others_do(convnet, config):
    model = convnet()
    optimizer = make_optimizer(model, config(optimizer={"spare_norms": True, "weight_decay": 0.1}).optimizer)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    spared = {name for name, parameter in model.named_parameters() if decay[id(parameter)] == 0}
    assert spared == {"1.weight", "1.bias", "4.bias", "7.bias"}
    assert len(make_optimizer(model, config().optimizer).param_groups) == 1


@dataclass(frozen=True, kw_only=True)
class Watched(SingleProcess):
    """One of two processes; `seen`: what all have to have in common, in order."""

    seen: list

    def require_same(self, what, digest):
        self.seen.append((what, digest))


def test_processes_compare_masks_in_force_and_weights_in_every_epoch(mlp, blobs, config, masks_of, tmp_path):
    processes = Watched(device=CPU, size=2, seen=[])
    model = mlp()
    masks = masks_of(model)
    run_training(model, TrainData(train=blobs()), config(epochs=2), folder=tmp_path, masks=masks, processes=processes)
    assert [what for what, _ in processes.seen] == ["masks", "weights", "masks", "weights"]
    assert {value for what, value in processes.seen if what == "masks"} == {digest(masks)}


def test_a_mask_that_is_no_longer_that_of_the_start_is_told_by_its_digest(mlp, blobs, config, masks_of, tmp_path):
    processes = Watched(device=CPU, size=2, seen=[])
    model = mlp()
    masks = masks_of(model)
    damaged = MaskEnforcer.mask_gradients

    def damage(masked):
        name, parameter = next(iter(masked._parameters.items()))
        masked._gradient_masks[name].bits(parameter)[0, :] = 0  # a row of the first layer is pruned on the way
        damaged(masked)

    with (
        mock.patch.object(MaskEnforcer, "mask_gradients", damage),
        mock.patch.object(MaskEnforcer, "require_zero"),
    ):
        run_training(
            model,
            TrainData(train=blobs()),
            config(epochs=1),
            folder=tmp_path,
            masks=masks,
            processes=processes,
        )
    (_, after), _ = processes.seen
    assert after != digest(masks)


@pytest.mark.parametrize("size", [1, 2])
def test_a_signal_is_heard_while_an_epoch_is_evaluated(mlp, blobs, config, tmp_path, size):
    class Interrupting(blobs):
        """Batches that ask for the end while the second of them is evaluated; `given` counts them."""

        given = 0

        def epoch(self, number, start=0):
            for index, pair in enumerate(super().epoch(number, start)):
                self.given += 1
                if index == 1:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield pair

    processes = Watched(device=CPU, size=size, seen=[])
    evaluated = Interrupting(50)
    data = TrainData(train=blobs(5), evaluations={"validation": evaluated})
    with pytest.raises(InterruptionError, match="interrupted by SIGTERM after step 5; the state is saved"):
        run_training(mlp(), data, config(), folder=tmp_path, processes=processes)
    assert evaluated.given <= 4  # one process looks at every batch, several at every first, second, fourth, ...
    assert [path.name for path in (tmp_path / "checkpoints").glob("e*")] == ["e00000-b0000005"]


class WithSpare(nn.Module):
    """A network with a head whose output is not used."""

    def __init__(self):
        super().__init__()
        self.head, self.spare = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(x), self.spare(x)


def test_a_parameter_without_a_gradient_is_named_where_several_processes_would_wait_for_it(blobs, config, tmp_path):
    two = Watched(device=CPU, size=2, seen=[])
    with pytest.raises(RunError, match=r"2 parameters got no gradient in the first step, 'spare.weight' among them"):
        run_training(WithSpare(), TrainData(train=blobs()), config(), folder=tmp_path / "two", processes=two)
    assert not (tmp_path / "two" / "checkpoints").exists()
    run_training(
        WithSpare(),
        TrainData(train=blobs()),
        config(find_unused_parameters=True),
        folder=tmp_path / "found",
        processes=two,
    )
    run_training(WithSpare(), TrainData(train=blobs()), config(), folder=tmp_path / "one")
    frozen = WithSpare()
    frozen.spare.requires_grad_(False)
    run_training(frozen, TrainData(train=blobs()), config(), folder=tmp_path / "frozen", processes=two)
