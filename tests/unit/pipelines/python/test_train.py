"""n2nsurgery.train: a caller's own model, data, loss, optimizer and scheduler."""

from __future__ import annotations

import contextlib
import json
import os

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, Dataset, TensorDataset

import n2nsurgery
from n2nsurgery.core.errors import InterruptionError, InvalidFileError, UnknownNameError, UsageError
from n2nsurgery.training.config.distillation import DistillationConfig
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.config.fading import FadingConfig
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.schedule import ScheduleConfig
from n2nsurgery.training.loop.events import Callbacks

CPU = {"device": "cpu", "batch_size": 8}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


def network(outputs=3, *layers):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 12), *layers, nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, outputs))


def samples(count=40, outputs=3):
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(
        torch.randn(count, 6, generator=generator), torch.randint(outputs, (count,), generator=generator)
    )


class Noisy(Dataset):
    """Items with noise from the global generator, as torchvision's transforms draw it."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.full((6,), float(index)) / 40 + torch.randn(6), index % 3


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def history(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "timing"} for line in lines]


def test_a_loss_and_an_optimizer_of_ones_own_train_a_pruned_model_that_load_reads(tmp_path):
    pruned = n2nsurgery.apply(network(), example_inputs=torch.zeros(2, 6), density=0.5, skip="none")

    def focal(outputs, targets):
        likelihood = nn.functional.cross_entropy(outputs, targets, reduction="none")
        return ((1 - torch.exp(-likelihood)) ** 2 * likelihood).mean()

    outcome = n2nsurgery.train(
        pruned, samples(), folder=tmp_path / "run", validation=samples(), loss=focal,
        optimizer=lambda parameters: torch.optim.RMSprop(parameters, lr=0.01), epochs=3, **CPU,
    )  # fmt: skip
    assert outcome.history[-1].loss < outcome.history[0].loss
    assert outcome.history[-1].metrics == ()  # nothing but the loss was asked for
    loaded = n2nsurgery.load(tmp_path / "run", model=network())
    best = max(outcome.history, key=lambda record: record.score)
    assert best.score == -best.evaluations[0].loss
    weights = dict(outcome.weights())
    assert all(torch.equal(value, weights[name]) for name, value in loaded.module.state_dict().items())
    for name, mask in pruned.masks.items():
        assert not pruned.module.get_parameter(name)[~mask].any()


@pytest.mark.parametrize(
    ("scheduler", "interval"),
    [
        (lambda optimizer: StepLR(optimizer, 3, gamma=0.5), "step"),
        (lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2]), "epoch"),
        (lambda optimizer: ReduceLROnPlateau(optimizer, patience=0, threshold=10.0), "epoch"),
        (lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=20), "step"),
    ],
)
def test_a_run_with_a_torch_scheduler_resumes_to_the_bit(tmp_path, scheduler, interval):
    def run(folder, *, resume=False, stop_at=None):
        def stop(progress):
            if progress.step == stop_at:
                os.kill(os.getpid(), 15)

        return n2nsurgery.train(
            model, Noisy(), folder=folder, validation=samples(), optimizer=sgd, scheduler=scheduler,
            scheduler_interval=interval, callbacks=Callbacks(on_step=stop), resume=resume, epochs=4, **CPU,
        )  # fmt: skip

    model = network()
    run(tmp_path / "whole")
    expected = model.state_dict()
    for stop_at in (7, 10):  # within an epoch, and at its end
        folder, model = tmp_path / str(stop_at), network()
        with pytest.raises(InterruptionError):
            run(folder, stop_at=stop_at)
        model = network()
        run(folder, resume=True)
        assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
        assert history(folder) == history(tmp_path / "whole")


def test_the_learning_rate_is_that_of_the_scheduler(tmp_path):
    n2nsurgery.train(
        network(), samples(), folder=tmp_path, optimizer=sgd, scheduler=lambda made: StepLR(made, 1, gamma=0.5),
        epochs=3, **CPU,
    )  # fmt: skip
    assert [line["lr"] for line in history(tmp_path)] == [0.1, 0.05, 0.025]


def test_the_learning_rate_of_ones_own_optimizer_stays_without_a_schedule(tmp_path):
    n2nsurgery.train(network(), samples(), folder=tmp_path, optimizer=sgd, epochs=2, **CPU)
    assert [line["lr"] for line in history(tmp_path)] == [0.1, 0.1]


def test_batches_of_a_data_loader_are_taken_as_they_are_and_cannot_be_resumed(tmp_path):
    loader = DataLoader(samples(), batch_size=10)
    outcome = n2nsurgery.train(network(), loader, folder=tmp_path, epochs=2, **CPU)
    assert outcome.steps == 8
    with pytest.raises(UsageError, match="a DataLoader cannot be asked for the batches of an epoch again"):
        n2nsurgery.train(network(), loader, folder=tmp_path, epochs=2, resume=True, **CPU)


def test_an_iterable_without_a_length_needs_the_batches_of_an_epoch(tmp_path):
    class Stream:
        def __iter__(self):
            yield from DataLoader(samples(24), batch_size=8)

    with pytest.raises(UsageError, match="say how many batches are an epoch with batches_per_epoch"):
        n2nsurgery.train(network(), Stream(), folder=tmp_path / "none", epochs=1, **CPU)
    outcome = n2nsurgery.train(network(), Stream(), folder=tmp_path / "two", batches_per_epoch=2, epochs=4, **CPU)
    assert outcome.steps == 8  # the third epoch begins the source anew in its second batch


def test_inputs_may_be_a_dict_and_metrics_functions(tmp_path):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = network(1)

        def forward(self, x, scale):
            return {"prediction": self.layer(x).squeeze(1) * scale}

    class Rows(Dataset):
        def __len__(self):
            return 16

        def __getitem__(self, index):
            return {"x": torch.full((6,), index / 16), "scale": torch.tensor(2.0)}, torch.tensor(index / 16)

    outcome = n2nsurgery.train(
        Named(), Rows(), folder=tmp_path, validation=Rows(), epochs=2, **CPU,
        loss=lambda outputs, targets: nn.functional.l1_loss(outputs["prediction"], targets),
        metrics={"largest": lambda outputs, targets: (outputs["prediction"] - targets).abs().max()},
        best_metric="loss",
    )  # fmt: skip
    record = outcome.history[-1]
    assert record.score == -record.evaluations[0].loss
    assert record.value("largest") > 0


def test_regression_is_a_task(tmp_path):
    inputs = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, inputs[:, :1] * 2)
    outcome = n2nsurgery.train(network(1), data, folder=tmp_path, validation=data, task="regression", epochs=3, **CPU)
    assert [name for name, _ in outcome.history[-1].metrics] == ["rmse", "mae", "r2"]
    assert outcome.history[-1].score == -outcome.history[-1].evaluations[0].value("rmse")


@pytest.mark.parametrize("direction", [{}, {"higher_is_better": False}])
def test_the_epoch_with_the_smallest_error_is_the_best(tmp_path, direction):
    def error(outputs, targets):
        return (outputs - targets).abs().mean()

    inputs = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, inputs[:, :1])
    metric = n2nsurgery.FunctionMetric(function=error, **direction) if direction else error
    outcome = n2nsurgery.train(
        network(1), data, folder=tmp_path, validation=data, task="regression", metrics={"mae": metric}, patience=2,
        epochs=4, **CPU,
    )  # fmt: skip
    scores = [-record.evaluations[0].value("mae" if direction else "loss") for record in outcome.history]
    assert [record.score for record in outcome.history] == scores
    assert outcome.history[-1].epoch == 4  # the error falls: four epochs are four better ones
    assert outcome.best == outcome.last


def pixels(void, samples=4):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (samples, 4, 4), generator=generator)
    labels[:2] = 255
    labels[:2, 0, 0] = 255 if void else 1
    return TensorDataset(torch.randn(samples, 2, 4, 4, generator=generator), labels)


def segmented(folder, data, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Conv2d(2, 3, 1)
    return model, n2nsurgery.train(
        model, data, folder=folder, task="segmentation", optimizer=sgd, **{"epochs": 1, "device": "cpu", **options}
    )


@pytest.mark.parametrize("void", [True, False])
def test_a_group_of_batches_equals_one_large_batch_also_where_labels_do_not_count(tmp_path, void):
    ends = {}
    for accumulate in (1, 2, 4):
        model, outcome = segmented(tmp_path / str(accumulate), pixels(void), batch_size=4, accumulate=accumulate)
        ends[accumulate] = (*model.parameters(), torch.tensor(outcome.history[0].loss))
    for accumulate in (2, 4):
        for one, other in zip(ends[1], ends[accumulate], strict=True):
            torch.testing.assert_close(one, other)


def test_samples_without_a_label_that_counts_end_no_run_and_leave_the_ranking(tmp_path):
    data = pixels(void=True)
    model, outcome = segmented(tmp_path, data, batch_size=1, epochs=2, validation=data, best_metric="loss")
    record = outcome.history[-1]
    assert record.evaluations[0].samples == 4
    assert record.score == -record.evaluations[0].loss
    whole = n2nsurgery.evaluate(model, data, task="segmentation", batch_size=4, device="cpu")
    assert record.evaluations[0].loss == pytest.approx(whole.loss, rel=1e-6)  # float32


def test_training_data_without_a_label_that_counts_is_called_that(tmp_path):
    data = TensorDataset(torch.zeros(2, 2, 4, 4), torch.full((2, 4, 4), 255))
    with pytest.raises(UsageError, match="no label of the training data counts"):
        segmented(tmp_path, data, batch_size=1)


@pytest.mark.parametrize("option", [{"label_smoothing": 0.3}, {"loss_options": {"class_weights": [1.0, 2.0, 1.0]}}])
def test_options_of_a_loss_are_refused_beside_a_loss_of_ones_own(tmp_path, option):
    with pytest.raises(UsageError, match=rf"{next(iter(option))} is .*left out with a loss of your own"):
        n2nsurgery.train(network(), samples(), folder=tmp_path, loss=nn.functional.cross_entropy, **option, **CPU)


def test_a_batch_norm_that_is_in_eval_mode_stays_frozen(tmp_path):
    model = network(3, nn.BatchNorm1d(12))
    model[1].eval()
    before = model[1].running_mean.clone()
    n2nsurgery.train(model, samples(), folder=tmp_path / "frozen", epochs=1, **CPU)
    assert torch.equal(model[1].running_mean, before)
    assert not model[1].training
    model.eval()  # the whole network is in eval mode, as after an evaluation: it is trained as a whole
    n2nsurgery.train(model, samples(), folder=tmp_path / "whole", epochs=1, **CPU)
    assert not torch.equal(model[1].running_mean, before)


def test_frozen_layers_keep_weights_and_statistics_and_are_trainable_afterwards(tmp_path):
    model = network(3, nn.BatchNorm1d(12))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    n2nsurgery.train(model, samples(), folder=tmp_path, freeze=("0", "1"), epochs=1, **CPU)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"4.weight", "4.bias"}
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model[1].training


def test_training_stops_where_the_metric_gets_no_better_and_a_resume_does_not_go_on(tmp_path):
    def run(**more):
        return n2nsurgery.train(
            network(), samples(), folder=tmp_path, validation=samples(), patience=2, epochs=9,
            optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0), **CPU, **more,
        )  # fmt: skip

    # Weights that do not move give the same score in every epoch: the first stays the best.
    assert len(run().history) == 3
    assert len(run(resume=True).history) == 3


def test_a_teacher_pulls_the_students_scores_to_its_own(tmp_path):
    class Same(nn.Module):
        def forward(self, x):
            return torch.tensor([0.0, 0.0, 4.0]).expand(len(x), 3)

    student = network()
    n2nsurgery.train(
        student, samples(), folder=tmp_path, teacher=Same(), epochs=8, optimizer=sgd,
        distillation=DistillationConfig(weight=1.0, temperature=1.0), **CPU,
    )  # fmt: skip
    assert (student.eval()(samples()[:][0]).argmax(1) == 2).all()


def test_callbacks_are_told_of_steps_epochs_and_checkpoints(tmp_path):
    steps, epochs, written = [], [], []
    heard = Callbacks(on_step=steps.append, on_epoch=epochs.append, on_checkpoint=written.append)
    outcome = n2nsurgery.train(
        network(), samples(), folder=tmp_path, validation=samples(), callbacks=heard, epochs=2, log_every=2, **CPU
    )
    assert tuple(epochs) == outcome.history
    assert [(event.epoch, event.step) for event in written] == [(1, 5), (2, 10)]
    assert written[0].best
    assert written[-1].folder == outcome.last
    assert [step.step for step in steps if step.loss is not None] == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epoch": 1}, UnknownNameError, "unknown option of train 'epoch'; did you mean 'epochs'"),
        ({"optimizer": sgd(network().parameters())}, UsageError, "give what makes one from parameters"),
        ({"optimizer": lambda _: 3}, UsageError, "the optimizer's factory gave a int"),
        ({"scheduler": lambda _: 3, "optimizer": sgd}, UsageError, "the scheduler's factory gave a int"),
        ({"loss": lambda outputs, _: outputs}, UsageError, r"the loss has shape \(8, 3\); it must be one number"),
        ({"loss": "cross-entopy"}, UnknownNameError, "unknown loss 'cross-entopy'; did you mean 'cross-entropy'"),
        ({"loss": 3}, UsageError, r"loss is 3; it must be a function of \(outputs, targets\)"),
        ({"loss": lambda *_: 1.0}, UsageError, "the loss is a float; it must be a tensor of one number"),
        ({"loss": lambda *_: torch.tensor(1.0)}, UsageError, "the loss does not depend on a trained weight"),
        ({"metrics": ["topp1"]}, UnknownNameError, "unknown training metric 'topp1'; did you mean 'top1'"),
        ({"metrics": 3}, UsageError, "metrics is 3; it must be registered names, or a dict of functions"),
        ({"metrics": {"a": 3}}, UsageError, r"metrics\['a'\] is 3; it must be a function of \(outputs, targets\)"),
        ({"metrics": {"a": lambda *_: "x"}}, UsageError, "gave a str; it must give one number"),
        ({"metrics": {"a": lambda o, _: o}}, UsageError, r"gave a tensor of shape \(8, 3\); it must give one number"),
        ({"optimizer": 3}, UsageError, "optimizer is 3; it must be a function of the parameters"),
        ({"optimizer": "adm"}, UnknownNameError, "optimizer.name is 'adm'; .*did you mean 'adam'"),
        ({"dynamics": {"name": "itop"}}, UsageError, "dynamics is .*; it must be a DynamicsConfig"),
        ({"scheduler": "cosine"}, UsageError, "scheduler is 'cosine'; it must be a function of the optimizer"),
        ({"scheduler_interval": "steps"}, UsageError, "scheduler_interval is 'steps'; it must be one of epoch, step"),
        ({"teacher": "resnet18"}, UsageError, "teacher is 'resnet18'; it must be a module or a pruned model"),
        (
            {"teacher": nn.Linear(6, 5)},
            UsageError,
            r"gives scores of shape \(8, 5\), the student of \(8, 3\): distill",
        ),
        (
            {"teacher": nn.Linear(99, 3)},
            UsageError,
            r"the teacher, Linear, fails on inputs of shape \(8, \d+.*same inputs",
        ),
        ({"distillation": DistillationConfig(teacher="mlp")}, UsageError, "teacher is 'mlp'.* pass the network itself"),
        ({"callbacks": print}, UsageError, r"give n2nsurgery\.Callbacks\(on_epoch=function\)"),
        ({"optimizer": sgd, "freeze": ("0", "3")}, UsageError, "there is nothing to train: every parameter is frozen"),
        ({"freeze": ("0", "3")}, UsageError, "there is nothing to train: every parameter is frozen"),
        ({"patience": 2}, UsageError, "patience is 2, and there is no validation split to look at"),
        ({"best_metric": "top5"}, UsageError, "best_metric is 'top5', and there is no validation split to look at"),
        ({"best_metric": "top3"}, UnknownNameError, "best_metric is 'top3'; it must be one of"),
        ({"freeze": ("conv",)}, UnknownNameError, "unknown layer pattern 'conv'"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        n2nsurgery.train(network(), samples(), folder=tmp_path, **{"epochs": 1, **CPU, **options})


@pytest.mark.parametrize("pruned", [True, False])
def test_a_run_is_replaced_when_asked_and_whatever_else_is_there_stays(tmp_path, pruned):
    def run(epochs, **more):
        model = network()
        if pruned:
            model = n2nsurgery.apply(model, example_inputs=torch.zeros(2, 6), density=0.5, skip="none")
        return n2nsurgery.train(model, samples(), folder=tmp_path / "run", epochs=epochs, optimizer=sgd, **CPU, **more)

    run(2)
    (tmp_path / "run" / "thesis.tex").touch()
    (tmp_path / "run" / ".git").mkdir()
    with pytest.raises(UsageError, match=r"overwrite"):
        run(1)
    assert len(history(tmp_path / "run")) == 2
    assert len(run(1, overwrite=True).history) == len(history(tmp_path / "run")) == 1
    assert {"thesis.tex", ".git"} < {path.name for path in (tmp_path / "run").iterdir()}
    with pytest.raises(UsageError, match="leave one of the two out"):
        run(1, overwrite=True, resume=True)


def skipped():
    torch.manual_seed(0)
    layers = (nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))
    return n2nsurgery.apply(nn.Sequential(*layers), example_inputs=torch.zeros(2, 6), density=0.5)


REFUSED = (
    {"metrics": ["topp1"]},
    {"patience": 2},
    {"best_metric": "acc"},
    {"loss": "crossentropy"},
    {"freeze": ["nope"]},
    {"optimizer": OptimizerConfig(spare=("nope",))},
    {"scheduler": lambda _: 3},
    {"epochs": 0},
)


@pytest.mark.parametrize("pruned", [True, False])
def test_a_run_stays_where_the_one_in_its_place_is_refused(tmp_path, pruned):
    model = n2nsurgery.apply(network(), example_inputs=torch.zeros(2, 6), density=0.5, skip="none")
    asked = model if pruned else model.module
    n2nsurgery.train(asked, samples(), folder=tmp_path / "run", epochs=1, **CPU)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for options in ({"skip_fade": FadingConfig()}, *REFUSED):
        with pytest.raises(UsageError):
            n2nsurgery.train(
                asked, samples(), folder=tmp_path / "run", overwrite=True, **{"epochs": 1, **CPU, **options}
            )
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before, options


def failing(after: int):
    """A loss that fails at the step after `after` ones."""
    taken = []

    def loss(outputs, targets):
        taken.append(1)
        if len(taken) > after:
            raise RuntimeError("cannot be computed")
        return nn.functional.cross_entropy(outputs, targets)

    return loss


@pytest.mark.parametrize("recipe", [True, False])
def test_a_run_whose_first_step_fails_is_not_in_the_way_of_the_next(tmp_path, recipe):
    model = n2nsurgery.apply(network(), example_inputs=torch.zeros(2, 6), density=0.5, skip="none")
    run = {"folder": tmp_path / "run", "epochs": 1, "device": "cpu"}
    file = tmp_path / "tiny.yaml"
    file.write_text(RECIPE, encoding="utf-8")
    asked = (file,) if recipe else (model, samples())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot be computed"):
            n2nsurgery.train(*asked, loss=failing(0), batch_size=8, **run)
        assert not list((tmp_path / "run").glob("[!.]*"))
    with pytest.raises(RuntimeError, match="cannot be computed"):
        n2nsurgery.train(*asked, loss=failing(1), batch_size=8, **run)
    assert (tmp_path / "run" / "surgery" / "manifest.json").exists()


@pytest.mark.parametrize("options", [{"freeze": ["re:.*"]}, {"optimizer": OptimizerConfig(spare=("nope",))}])
def test_a_run_that_is_refused_leaves_the_model_as_it_was(tmp_path, options):
    pruned = skipped()
    with pytest.raises(UsageError):
        n2nsurgery.train(
            pruned,
            samples(),
            folder=tmp_path,
            epochs=1,
            **CPU,
            **{"freeze": ["0"], "skip_fade": FadingConfig()} | options,
        )
    assert all(parameter.requires_grad for parameter in pruned.module.parameters())
    assert not pruned.module.get_submodule(pruned.plan.skips[0].name)._forward_hooks


def test_a_teacher_has_its_modes_and_its_gradients_back(tmp_path):
    teacher = network()
    teacher[2].eval()
    teacher[0].bias.requires_grad_(False)
    modes = [module.training for module in teacher.modules()]
    trained = [parameter.requires_grad for parameter in teacher.parameters()]
    for options in ({}, {"metrics": ["topp1"], "overwrite": True}):
        with contextlib.suppress(UnknownNameError):
            n2nsurgery.train(network(), samples(), folder=tmp_path, teacher=teacher, epochs=1, **CPU, **options)
        assert [module.training for module in teacher.modules()] == modes
        assert [parameter.requires_grad for parameter in teacher.parameters()] == trained


def test_a_data_set_without_samples_is_called_that(tmp_path):
    with pytest.raises(UsageError, match="the training split has no samples"):
        n2nsurgery.train(network(), samples(0), folder=tmp_path, epochs=1, **CPU)


def test_data_beside_a_recipe_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"a recipe says what its data is .*; leave validation, workers out"):
        n2nsurgery.train(tmp_path / "a.yaml", validation=samples(), workers=2)


def test_a_folder_on_data_by_name_is_evaluated_by_the_task_of_its_run(tmp_path):
    with pytest.raises(UsageError, match="by the task of its run; leave metrics, amp out"):
        n2nsurgery.evaluate(tmp_path, "digits", metrics={"a": print}, amp="bf16")


def test_a_model_by_name_is_not_a_recipe(tmp_path):
    with pytest.raises(UsageError, match="'resnet18' is not a recipe"):
        n2nsurgery.train("resnet18", samples(), folder=tmp_path)


RECIPE = """\
version: 2
model: {name: mlp, options: {widths: [3072, 16, 16]}}
data: {name: fake, shape: [3072], classes: 4, train: 64, validation: 16, test: 16}
surgery: {density: 0.4, skip: none}
train:
  epochs: 2
  batch_size: 16
  optimizer: {name: rmsprop, lr: 0.01, options: {alpha: 0.9}}
  schedule: {name: constant}
  metrics: [top1, top5]
  best_metric: loss
  distillation: {teacher: mlp, weight: 0.2}
  log_every: 2
  device: cpu
"""


def test_a_recipe_names_a_teacher_metrics_and_an_optimizer_and_python_adds_callbacks(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    written = []
    with caplog.at_level("INFO", "n2nsurgery.train"):
        outcome = n2nsurgery.train(
            "tiny.yaml", folder="run", epochs=3, callbacks=Callbacks(on_checkpoint=written.append)
        )
    assert [event.step for event in written if event.epoch and event.folder.name.endswith("-b0000000")] == [3, 6, 9]
    assert len(outcome.history) == 3
    assert outcome.history[-1].score == -outcome.history[-1].evaluations[0].loss
    assert "epoch 1/3, step 2/9: loss" in caplog.text
    found = n2nsurgery.evaluate("run", device="cpu", split="validation")
    assert found.loss == pytest.approx(-max(record.score for record in outcome.history), rel=1e-6)  # other batches


def test_a_run_that_python_began_is_evaluated_on_data_by_name(tmp_path):
    pruned = n2nsurgery.apply("mlp", density=0.5, skip="none")
    shape = tuple(pruned.plan.inputs[0].shape[1:])
    data = TensorDataset(torch.randn(16, *shape), torch.arange(16) % 10)
    n2nsurgery.train(pruned, data, folder=tmp_path / "run", epochs=1, **CPU)
    with pytest.raises(UsageError, match="has no recipe and does not say which data it is for"):
        n2nsurgery.evaluate(tmp_path / "run", device="cpu")
    assert n2nsurgery.evaluate(tmp_path / "run", data, device="cpu").samples == 16


def test_parts_may_be_given_as_a_recipe_names_them(tmp_path):
    outcome = n2nsurgery.train(
        network(), samples(), folder=tmp_path, loss="cross-entropy", metrics=["top1", "top5"],
        optimizer=OptimizerConfig(name="adam", lr=1e-3), epochs=1, **CPU,
    )  # fmt: skip
    assert [name for name, _ in outcome.history[0].metrics] == ["top1", "top5"]
    assert outcome.history[0].lr == pytest.approx(1e-3)


def test_a_name_stands_for_a_part_with_its_own_values(tmp_path):
    options = {"epochs": 2, **CPU}
    named, made = (
        n2nsurgery.train(
            n2nsurgery.apply(network(), example_inputs=torch.zeros(2, 6), density=0.5, skip="none"),
            samples(), folder=tmp_path / folder, **parts, **options,
        )
        for folder, parts in {
            "named": {"optimizer": "adam", "schedule": "constant", "dynamics": "set"},
            "made": {
                "optimizer": OptimizerConfig(name="adam"),
                "schedule": ScheduleConfig(name="constant"),
                "dynamics": DynamicsConfig(name="set"),
            },
        }.items()
    )  # fmt: skip
    assert [epoch.loss for epoch in named.history] == [epoch.loss for epoch in made.history]


def test_the_training_of_a_module_that_was_not_pruned_is_not_an_artifact(tmp_path):
    module = network()
    outcome = n2nsurgery.train(module, samples(), folder=tmp_path, epochs=1, **CPU)
    with pytest.raises(InvalidFileError, match=r"a module that was not pruned, so it holds no artifact; `weights\(\)`"):
        n2nsurgery.load(tmp_path, model=network())
    assert outcome.weights().keys() == module.state_dict().keys()


@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8])
def test_inputs_of_another_dtype_than_the_weights_are_explained(tmp_path, dtype):
    inputs, targets = samples().tensors
    data = TensorDataset(inputs.to(dtype), targets)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(UsageError, match=f"Sequential has weights of float32 and cannot take inputs of {name}: conv"):
        n2nsurgery.train(network(), data, folder=tmp_path / "run", epochs=1, **CPU)
    with pytest.raises(UsageError, match=f"cannot take inputs of {name}"):
        n2nsurgery.evaluate(network(), data, device="cpu")
