from __future__ import annotations

import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import n2nsurgery
import n2nsurgery.core.files
import n2nsurgery.pipelines.training.train
from n2nsurgery.core import sealed_folder
from n2nsurgery.core.errors import InterruptionError, InvalidFileError, RunError, UsageError
from n2nsurgery.core.processes.folder_lock import locked_folder
from n2nsurgery.core.progress import SILENT
from n2nsurgery.pipelines.prune.inspect import run as inspect
from n2nsurgery.pipelines.saved.run_folder import newest_result, newest_run
from n2nsurgery.pipelines.training import run_recipe
from n2nsurgery.pipelines.training.evaluate import run as evaluate
from n2nsurgery.pipelines.training.evaluate_request import EvaluationRequest
from n2nsurgery.pipelines.training.run_recipe import resolved
from n2nsurgery.pipelines.training.train import run
from n2nsurgery.pipelines.training.train_request import TrainRequest
from n2nsurgery.training.loop.trainer import Trainer
from n2nsurgery.training.state.checkpoints import trained_weights

RECIPE = """\
version: 1
model: {name: mlp, options: {widths: [8, 16, 16, 16, 16]}}
data: {name: fake, shape: [8], classes: 4, train: 80, validation: 16, test: 32}
surgery: {density: 0.4, criterion: snip, batch_size: 16}
train:
  epochs: 3
  batch_size: 16
  optimizer: {lr: 0.1}
  schedule: {name: constant}
"""


class Killed(BaseException):
    """What a test ends a run with; nothing may catch it."""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def train(*overrides: str, text: str = RECIPE, progress=SILENT, log=None, **options):
    Path("tiny.yaml").write_text(text, encoding="utf-8")
    request = TrainRequest(recipe=Path("tiny.yaml"), overrides=overrides, **{"output": Path("run"), **options})
    return run(request, progress, log)


def at_step(number: int, act):
    """A progress callback that acts once, after so many steps."""
    seen = []

    def report(stage: str, _done: float) -> None:
        if stage.startswith("epoch"):
            seen.append(stage)
            if len(seen) == number:
                act()

    return report


def weights(run_folder: str) -> dict[str, torch.Tensor]:
    newest = max(Path(run_folder, "checkpoints").glob("e*"))
    return dict(trained_weights(newest))


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.usefixtures("here")
def test_a_run_holds_its_recipe_and_its_trained_network():
    lines = []
    outcome = train(log=lines.append)
    document = outcome.to_json()
    assert (document["steps_per_epoch"], document["steps"], len(document["history"])) == (4, 12, 3)
    assert sum(line.startswith("epoch ") for line in lines) == 3
    assert any("64 training, 16 validation and 32 test samples" in line for line in lines)
    assert outcome.pruned.record.data == "fake(train,seed=0,batch_size=16,count=1)"
    last = n2nsurgery.load("run", last=True)
    assert equal(last.module.state_dict(), weights("run"))
    assert last.masks.fingerprint == outcome.pruned.masks.fingerprint
    best = n2nsurgery.load("run")
    assert equal(best.module.state_dict(), dict(trained_weights(outcome.trained.best)))
    assert inspect("run").to_json()["mask_fingerprint"] == last.masks.fingerprint


@pytest.mark.usefixtures("here")
def test_the_default_folder_is_named_by_recipe_and_hash_and_is_the_newest_result():
    outcome = train(output=None)
    assert outcome.run == Path("runs") / f"tiny-{outcome.recipe.hash[:8]}"
    assert newest_result() == newest_run() == outcome.run
    before = weights(str(outcome.run))
    assert equal(weights(str(train("data.workers=2", output=None, overwrite=True).run)), before)


@pytest.mark.usefixtures("here")
def test_a_finished_run_is_already_there_and_another_is_refused():
    first, events = train(), []
    document = train(progress=lambda stage, _: events.append(stage)).to_json()
    assert document == {**first.to_json(), "already_there": True, "engine": document["engine"]}  # it says why it stays
    assert not [stage for stage in events if stage.startswith("epoch")]
    for other in ({"allow_import": True}, {"text": RECIPE.replace("epochs: 3", "epochs: 4")}):
        with pytest.raises(UsageError, match="is a run already; go on with it by --resume"):
            train(**other)
    shutil.rmtree(max(Path("run/checkpoints").glob("e*")))  # as if it had been interrupted in the last epoch
    with pytest.raises(UsageError, match="is a run already"):
        train()


@pytest.mark.usefixtures("here")
def test_a_finished_run_is_not_there_already_where_weights_or_versions_may_be_others(monkeypatch):
    asked = ("train.epochs=1", "surgery.skip=none")
    train(*asked)
    with monkeypatch.context() as patch:
        patch.setattr(run_recipe, "versions_in_use", lambda: (("torch", "1.0"),))
        with pytest.raises(UsageError, match="'run' is a run already"):
            train(*asked)
    torch.save(n2nsurgery.load("run").module.state_dict(), "w.pth")
    own = (*asked, "model.weights=w.pth")
    train(*own, output=Path("own"))
    with pytest.raises(UsageError, match="'own' is a run already"):
        train(*own, output=Path("own"))


@pytest.mark.usefixtures("here")
def test_without_surgery_every_weight_is_trained():
    outcome = train("surgery=null")
    pruned = n2nsurgery.load("run")
    assert outcome.plan.budget.total == outcome.plan.budget.reference == pruned.masks.kept
    assert not outcome.plan.skips


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("step", [1, 4, 6, 11])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(step):
    def die():
        raise Killed

    train(output=Path("whole"))
    with pytest.raises(Killed):
        train("train.checkpoint_steps=1", progress=at_step(step, die))
    assert train("train.checkpoint_steps=1", resume="auto").to_json()["history"][-1]["epoch"] == 3
    assert equal(weights("run"), weights("whole"))


@pytest.mark.usefixtures("here")
def test_a_run_that_was_interrupted_says_so_and_goes_on_from_its_folder():
    train(output=Path("whole"))
    with pytest.raises(InterruptionError, match=r"SIGTERM after step 6; the state is saved"):
        train(progress=at_step(6, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    train(output=None, resume="run")
    assert equal(weights("run"), weights("whole"))


@pytest.mark.usefixtures("here")
def test_auto_begins_where_there_is_not_a_run_and_a_folder_has_to_be_one():
    assert train(resume="auto").run == Path("run")
    with pytest.raises(UsageError, match=r"'nowhere' is not the folder of a run \(it has no run.json\)"):
        train(output=None, resume="nowhere")


@pytest.mark.usefixtures("here")
def test_another_recipe_does_not_go_on_with_a_run_unless_training_permits_it():
    train()
    with pytest.raises(UsageError, match=r"begun with another recipe: train.epochs: 3 -> 4"):
        train("train.epochs=4", resume="auto")
    longer = train("train.epochs=4", resume="auto", allow_changes=True)
    assert longer.to_json()["history"][-1]["epoch"] == 4
    assert "epochs: 4" in Path("run/recipe.yaml").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match=r"another model, data set, surgery or seed: surgery.density: 0.4 -> 0.3"):
        train("train.epochs=4", "surgery.density=0.3", resume="auto", allow_changes=True)
    assert "density: 0.4" in Path("run/recipe.yaml").read_text(encoding="utf-8")


@pytest.mark.usefixtures("here")
def test_a_dry_run_tells_everything_and_writes_nothing():
    document = train("train.epochs=5", dry_run=True).to_json()
    assert (document["run"], document["steps"], document["surgery"]["nnz_total"]) == (None, 20, 384)
    assert [path.name for path in Path().iterdir()] == ["tiny.yaml"]


@pytest.mark.usefixtures("here")
def test_an_artifact_is_trained_and_has_to_be_that_of_the_model_and_the_data():
    made = n2nsurgery.apply("mlp", density=0.1)
    made.save("artifact")
    given = RECIPE.replace("surgery: {density: 0.4, criterion: snip, batch_size: 16}", "surgery: {artifact: artifact}")
    alone = given.replace("model: {name: mlp, options: {widths: [8, 16, 16, 16, 16]}}\n", "")
    for text in (given, alone):
        with pytest.raises(UsageError, match="model 'mlp' takes samples of shape 3072, and the data has 8"):
            train(text=text)
    with pytest.raises(InvalidFileError, match="this model is not the one that was pruned"):
        train(text=given.replace("[8, 16", "[3072, 16").replace("[8], classes: 4", "[3072], classes: 64"))
    with pytest.raises(UsageError, match="model 'mlp' has 64 outputs, and the data has 10 classes"):
        train(text=alone.replace("[8], classes: 4", "[3072], classes: 10"))
    outcome = train("train.epochs=1", text=alone.replace("[8], classes: 4", "[3072], classes: 64"))
    assert outcome.pruned.masks.fingerprint == made.masks.fingerprint == n2nsurgery.load("run").masks.fingerprint
    shutil.rmtree("artifact")  # the run has its own
    again = train("train.epochs=1", text=alone.replace("[8], classes: 4", "[3072], classes: 64"), resume="auto")
    assert again.trained.steps == outcome.trained.steps


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("model.num_classes=3", UsageError, "has 3 outputs, and the data has 4 classes: leave model.num_classes out"),
        (
            "model.input_size=[9]",
            UsageError,
            "takes samples of shape 9, and the data has 8: leave model.input_size out",
        ),
        (
            "model={name: cifar-vgg19}",
            UsageError,
            "model 'cifar-vgg19' takes samples of shape 3x8x8, and the data has 8",
        ),
        ("model={name: resnet5O}", UsageError, "unknown model 'resnet5O'; did you mean 'resnet50'"),
        ("model={name: 'os:getcwd'}", UsageError, "imports code, which is barred here; allow it with --allow-import"),
        ("train.batch_size=4096", UsageError, "64 samples, fewer than one batch of 4096; take a smaller batch_size"),
        (
            "surgery.batch_size=4096",
            UsageError,
            "surgery.batch_size is 4096, and the training split has 64 samples: take at most as many",
        ),
        ("train.accumulate=3", UsageError, "batch_size is 16; it must be a multiple of 3"),
        (
            "surgery.batches=9",
            UsageError,
            "surgery.batches is 9, but the training split has 4 batches of surgery.batch_size 16",
        ),
        ("surgery.density=0.001", UsageError, "skip"),
        ("train.device=cuda:7", RunError, "device 'cuda:7' was asked for"),
        ("train.epochs=0", UsageError, "--set train.epochs=0: train.epochs is 0"),
        ("data={name: cifar10, root: nowhere}", UsageError, "cifar10 was not found in"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(override, error, message):
    with pytest.raises(error) as raised:
        train(override)
    assert message in str(raised.value)
    assert not Path("run").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "override",
    [
        "train.metrics=[topp1]",
        "train.freeze=[nope]",
        "train.distillation={teacher: nowhere}",
        "data={name: fake, shape: [8], classes: 4, train: 80, test: 32}",
    ],
)
def test_a_run_stays_where_the_one_in_its_place_is_refused(monkeypatch, override):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    train("train.epochs=1")
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    with pytest.raises(UsageError):
        train(override, "train.patience=3", overwrite=True)
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


class Moments:
    """Counts the moments at which files change; from moment `last` on the process is dead, and changes nothing."""

    def __init__(self, patch, last=None):
        self.count, self.last = 0, last
        for owner, names in (
            (Path, ("rename", "replace", "unlink", "mkdir", "write_text", "rmdir")),
            (shutil, ("rmtree",)),
            (sealed_folder, ("save_file", "_write_json")),
        ):
            for name in names:
                patch.setattr(owner, name, self.mortal(getattr(owner, name)))

    def mortal(self, original):
        def act(*arguments, **options):
            self.count += 1
            if self.last is not None and self.count >= self.last:
                raise Killed
            return original(*arguments, **options)

        return act


def killed_in_the_beginning(patch, last=None, **options) -> int:
    """Begin, and die at moment `last` or with the first step; how many moments there were."""
    moments = Moments(patch, last)

    def die(*_arguments, **_options):
        raise Killed

    patch.setattr(Trainer, "run", die)
    with pytest.raises(Killed):
        train("train.epochs=1", **options)
    return moments.count


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("former", [None, "a run"])
def test_a_run_killed_at_any_moment_of_its_beginning_begins_again(monkeypatch, former):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    train("train.epochs=1", output=Path("whole"))

    def prepare() -> dict:
        shutil.rmtree("run", ignore_errors=True)
        if former == "a run":
            shutil.copytree("whole", "run")
            return {"overwrite": True}
        return {"resume": "auto"}

    options = prepare()
    with monkeypatch.context() as patch:
        count = killed_in_the_beginning(patch, **options)
    assert count > 15
    for moment in range(1, count + 1):
        options = prepare()
        with monkeypatch.context() as patch:
            killed_in_the_beginning(patch, moment, **options)
        train("train.epochs=1", **options)
        assert equal(weights("run"), weights("whole")), moment
        assert sorted(path.name for path in Path("run").iterdir()) == [
            "checkpoints", "metrics.csv", "metrics.jsonl", "recipe.yaml", "run.json", "surgery"
        ], moment  # fmt: skip


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("options", [{}, {"resume": "auto"}, {"output": None, "resume": "run"}])
def test_an_empty_folder_is_a_place_for_a_run(options):
    Path("run/.git").mkdir(parents=True)  # what is hidden takes no place, and stays
    assert train("train.epochs=1", **options).run == Path("run")
    assert Path("run/.git").is_dir()


@pytest.mark.usefixtures("here")
def test_somebody_elses_folder_is_not_a_place_for_a_run():
    Path("run").mkdir()
    Path("run/thesis.tex").touch()
    for options in ({}, {"resume": "auto"}, {"overwrite": True}, {"output": None, "resume": "run"}):
        with pytest.raises(UsageError, match=r"'run' is not the folder of a run: it holds 'thesis.tex' and"):
            train(**options)
    assert [path.name for path in Path("run").iterdir()] == ["thesis.tex"]


@pytest.mark.usefixtures("here")
def test_checkpoints_without_what_was_done_before_them_are_never_removed_unasked():
    train()
    shutil.rmtree("run/surgery")
    with pytest.raises(InvalidFileError, match="'run' has checkpoints and no surgery, which they belong to"):
        train(resume="auto")
    assert list(Path("run/checkpoints").glob("e*"))
    train(overwrite=True)
    assert n2nsurgery.load("run").masks.kept == 384


@pytest.mark.usefixtures("here")
def test_a_run_that_somebody_is_at_is_left_alone():
    lines = []
    with locked_folder(Path("run")):
        for options in ({}, {"resume": "auto"}):
            with pytest.raises(RunError, match=rf"'run' is in use by process {os.getpid()} on .*, since"):
                train(log=lines.append, **options)
    assert lines == []  # not even the data was read
    train(log=lines.append)
    assert "run: run, begun" in lines


@pytest.mark.usefixtures("here")
def test_an_output_that_cannot_be_written_is_told_before_anything_is_read():
    lines = []
    with pytest.raises(RunError, match=r"cannot write into 'tiny.yaml/run': Not a directory"):
        train(output=Path("tiny.yaml/run"), log=lines.append)
    assert lines == []


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_outside_of_training_is_told_and_leaves_what_can_be_begun_again(number):
    def stop(stage, _done):
        if stage.startswith("building"):
            os.kill(os.getpid(), number)

    message = f"interrupted by {number.name} outside of training; nothing is lost"
    with pytest.raises(InterruptionError, match=message) as caught:
        train(progress=stop)
    assert caught.value.exit_code == 130
    assert not Path("run").exists()
    assert train(resume="auto").run == Path("run")


@pytest.mark.usefixtures("here")
def test_classes_that_a_split_lacks_are_mentioned():
    lines = []
    train("data.test=2", "train.epochs=1", log=lines.append)
    (sentence,) = [line for line in lines if "has no sample of" in line]
    assert re.fullmatch(r"data: the test split has no sample of [23] of 4 classes: \d, \d(, \d)?", sentence)


@pytest.mark.usefixtures("here")
def test_a_full_disk_ends_the_run_and_nothing_is_lost(monkeypatch):
    train(output=Path("whole"))
    usage = shutil.disk_usage
    full = SimpleNamespace(free=0)
    with pytest.raises(RunError, match="no space left"):
        train(progress=at_step(6, lambda: monkeypatch.setattr(shutil, "disk_usage", lambda _: full)))
    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert n2nsurgery.load("run", last=True).masks.kept == 384
    train(resume="auto")
    assert equal(weights("run"), weights("whole"))


@pytest.mark.usefixtures("here")
def test_a_run_is_evaluated_as_its_records_say():
    outcome = train("data.mixing={kind: mixup}", "train.ema_decay=0.9")
    records = {record.epoch: record for record in outcome.trained.history}
    for last, epoch in ((True, 3), (False, outcome.to_json()["best"]["epoch"])):
        for split, recorded in zip(("validation", "test"), records[epoch].evaluations, strict=True):
            found = evaluate(EvaluationRequest(folder=Path("run"), last=last, split=split, batch_size=16)).scores
            assert found == recorded, (last, split)  # the same batches of the same size on the same processor
    with pytest.raises(UsageError, match="only options of the data can be set here"):
        evaluate(EvaluationRequest(folder=Path("run"), overrides=("train.epochs=3",)))
    other = EvaluationRequest(folder=Path("run"), overrides=("data.classes=5",))
    with pytest.raises(UsageError, match="has 4 outputs, and the data has 5 classes"):
        evaluate(other)
    named = replace(other, data="fake", overrides=("data.shape=[8]", "data.classes=4", "data.test=7"))
    assert evaluate(named).scores.samples == 7


@pytest.mark.usefixtures("here")
def test_an_artifact_does_not_say_which_data_it_is_for():
    n2nsurgery.apply("mlp", density=0.1).save("artifact")
    with pytest.raises(UsageError, match="name it with --data"):
        evaluate(EvaluationRequest(folder=Path("artifact")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resume": "auto", "overwrite": True}, "choose one"),
        ({"allow_changes": True}, "pass --resume too"),
        ({"resume": "run", "output": Path("other")}, "both name a run"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        TrainRequest(recipe=Path("r.yaml"), **options)


@pytest.mark.usefixtures("here")
def test_export_and_report_are_made_of_the_best_weights_where_the_recipe_asks_for_them():
    train("train.epochs=1")
    lines = []
    document = train(
        "train.epochs=1", "export.values=fp16", "report.conductance=count", resume="auto", log=lines.append
    ).to_json()
    assert lines[0] == "run: run, gone on with"
    assert not any(line.startswith("epoch") for line in lines)  # nothing is trained again
    assert "fp16" in Path("run/recipe.yaml").read_text(encoding="utf-8")
    assert (document["onnx"], document["report"]) == ("run/model.onnx", "run/report.html")
    assert Path("run/model.onnx").stat().st_size > 0
    assert "number of weights kept" in Path("run/report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("here")
def test_a_damaged_run_is_told_apart_from_one_without_weights():
    train()
    shutil.rmtree("run/checkpoints")
    with pytest.raises(InvalidFileError, match="holds no checkpoint that is whole"):
        n2nsurgery.load("run")
    shutil.rmtree("run/surgery")
    with pytest.raises(InvalidFileError):
        n2nsurgery.load("run")


@pytest.mark.usefixtures("here")
def test_the_timeout_of_processes_is_an_option_that_changes_no_run():
    plain = resolved(TrainRequest(recipe=Path("tiny.yaml")))
    patient = resolved(TrainRequest(recipe=Path("tiny.yaml"), timeout=60.5))
    assert (plain.train.distributed_timeout, patient.train.distributed_timeout) == (1800.0, 60.5)
    assert patient.hash == plain.hash
