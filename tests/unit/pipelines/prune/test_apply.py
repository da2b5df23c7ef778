from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery import SurgeryConfig, apply, inspect, load, register
from n2nsurgery.core.errors import BudgetError, RunError, TraceError, UnknownNameError, UsageError
from n2nsurgery.graph.layers.pair_selection import PairSelection
from n2nsurgery.masks.criteria import synflow
from n2nsurgery.masks.criterion import CRITERIA
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.models.families.mlp import Mlp
from n2nsurgery.models.family import FAMILIES
from n2nsurgery.pipelines.prune import apply as pipeline
from n2nsurgery.pipelines.prune import same_artifact
from n2nsurgery.pipelines.prune.apply import ApplyOutcome, run
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest


class Shifted(nn.Module):
    """Three inputs, of which the second and the third may be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(5))

    def forward(self, x: Tensor, shift: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        if shift is not None:
            x = x + shift
        if scale is not None:
            x = x * scale
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


X, SHIFT, SCALE = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0)).unbind()


@pytest.fixture
def artifacts(tmp_path, monkeypatch) -> Path:
    """A working directory of our own, below which artifacts are written by default."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "exported"


@pytest.mark.parametrize(
    ("example_inputs", "names"),
    [
        (X, ["x"]),
        ([X], ["x"]),
        ((X, SHIFT), ["x", "shift"]),
        ((X, SHIFT, SCALE), ["x", "shift", "scale"]),
        ({"x": X}, ["x"]),
        ({"scale": SCALE, "x": X, "shift": SHIFT}, ["x", "shift", "scale"]),
        ({"x": X, "scale": SCALE}, ["x", "scale"]),
    ],
)
def test_example_inputs_are_a_tensor_a_tuple_or_a_mapping_in_any_order(example_inputs, names, tmp_path):
    model = Shifted()
    pruned = apply(model, density=1, skip_ratio=0, example_inputs=example_inputs)
    assert [spec.name for spec in pruned.plan.inputs] == names
    given = {name: {"x": X, "shift": SHIFT, "scale": SCALE}[name] for name in names}
    assert torch.equal(pruned.module(**given), model(**given))
    pruned.save(tmp_path / "artifact")
    assert torch.equal(load(tmp_path / "artifact", model).module(**given), model(**given))


def test_criteria_are_fed_by_position_whatever_was_left_out():
    options = {"density": 0.5, "skip": "none", "criterion": "snip"}
    by_name = apply(Shifted(), example_inputs={"x": X, "scale": SCALE}, data=((X, SCALE), torch.arange(4)), **options)
    assert by_name.record.data == "given"
    assert by_name.masks.kept == by_name.plan.budget.total


@pytest.mark.parametrize(
    ("example_inputs", "message"),
    [
        (None, r"Shifted was given as an object: pass example_inputs to trace it with"),
        ({"y": X}, r"the example inputs do not fit Shifted\.forward\(x"),
        ((X, X, X, X), "do not fit"),
        ((), "do not fit"),
    ],
)
def test_example_inputs_that_do_not_fit_are_an_error_that_shows_the_signature(example_inputs, message):
    with pytest.raises(UsageError, match=message):
        apply(Shifted(), density=0.5, example_inputs=example_inputs)


def test_a_name_needs_no_inputs_and_may_have_others():
    assert apply("mlp", density=0.1).plan.inputs[0].shape == (2, 3072)
    images = apply("mlp", density=0.1, example_inputs=torch.zeros(1, 3, 32, 32))
    assert images.plan.inputs[0].shape == (1, 3, 32, 32)
    assert json.loads(images.plan.model)["name"] == "mlp"


def test_the_seed_is_that_of_the_weights_and_of_the_masks():
    first, again, other = (apply("mlp", density=0.1, seed=seed) for seed in (3, 3, 4))
    weights = [pruned.module.state_dict()["layers.0.weight"] for pruned in (first, again, other)]
    assert first.masks == again.masks != other.masks
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"densty": 0.5}, UnknownNameError, "unknown option of apply 'densty'; did you mean 'density'"),
        ({"skip_patern": "random"}, UnknownNameError, "option of apply 'skip_patern'; did you mean 'skip_pattern'"),
        ({"criterion": "magnitud"}, UnknownNameError, "did you mean 'magnitude'"),
        ({"criterion_options": {"scop": "layer"}, "criterion": "snip"}, UnknownNameError, "did you mean 'scope'"),
        ({"skip": "resnet"}, UnknownNameError, "unknown skip kind 'resnet'"),
        ({"skip_ratio": 1.0}, UsageError, r"skip_ratio is 1\.0"),
        (
            {"skip_ratio": 0.9, "density": 1, "skip_length": 3},
            BudgetError,
            r"162 weights are to go into \d skips that can hold",
        ),
        ({"data": 5}, UsageError, "data of type int cannot be used"),
    ],
)
def test_a_wrong_option_is_one_error(options, error, message):
    with pytest.raises(error, match=message):
        apply(Shifted(), example_inputs=X, **({"density": 0.5} | options))


@pytest.mark.parametrize("density", [0, 1.5, -1])
def test_a_density_out_of_range_is_one_error(density):
    with pytest.raises(UsageError, match="density is"):
        apply(Shifted(), density=density, example_inputs=X)


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown model 'resnet81'; did you mean 'resnet18'"):
        apply("resnet81", density=0.5)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else x


def test_a_model_that_cannot_be_traced_is_pruned_only_and_named_with_the_line():
    pruned = apply(Branching(), density=0.5, example_inputs=X)
    assert (pruned.masks.kept, len(pruned.plan.skips)) == (18, 0)
    assert pruned.plan.warnings[0].startswith("Branching cannot be traced: ")
    assert pruned.plan.warnings[0].endswith("So it is pruned only, without skips")
    with pytest.raises(TraceError, match=r"Branching cannot be traced: .*test_apply\.py:\d+"):
        apply(Branching(), density=0.5, example_inputs=X, engine="rewrite")


class Stateful(nn.Module):
    """What it computes depends on how often its code was run, which no graph shows."""

    runs: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        self.runs.append(1)
        return self.layer(x) * len(self.runs)


def test_a_model_whose_rewritten_copy_would_compute_something_else_is_not_rewritten():
    with pytest.raises(TraceError, match="the rewritten copy of Stateful does not do what the original does"):
        apply(Stateful(), density=0.5, example_inputs=X, engine="rewrite")


KEYS = [
    "artifact",
    "model",
    "criterion",
    "skip",
    "density",
    "skip_ratio",
    "seed",
    "reference_weights",
    "nnz_total",
    "nnz_sequential",
    "nnz_skip",
    "mac_density",
    "layers",
    "skips",
    "refused",
    "mask_fingerprint",
]
LAYER_KEYS = ["name", "weights", "kept", "macs"]
SKIP_KEYS = ["name", "source", "target", "kind", "kernel", "stride", "align", "weights", "kept"]


def document(outcome: ApplyOutcome) -> dict:
    return json.loads(json.dumps(outcome.to_json(), allow_nan=False))


@pytest.mark.usefixtures("artifacts")
def test_the_document_says_what_was_done():
    outcome = run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, skip_ratio=0.1, seed=2)))
    shown, pruned = document(outcome), outcome.pruned
    assert set(KEYS) <= shown.keys()
    assert all(set(LAYER_KEYS) <= layer.keys() for layer in shown["layers"])
    assert all(set(SKIP_KEYS) <= skip.keys() for skip in shown["skips"])
    assert all(refusal.keys() == {"source", "target", "reason"} for refusal in shown["refused"])
    # 3072-512-256-128-64
    reference = 3072 * 512 + 512 * 256 + 256 * 128 + 128 * 64
    total = round(0.05 * reference)
    skips = round(0.1 * total)
    assert {key: shown[key] for key in ("model", "criterion", "skip", "density", "skip_ratio", "seed")} == {
        "model": "mlp",
        "criterion": "random",
        "skip": "n2n",
        "density": 0.05,
        "skip_ratio": 0.1,
        "seed": 2,
    }
    assert (shown["sparsity"], shown["compression"]) == (0.95, 20)
    assert (shown["reference_weights"], shown["nnz_total"]) == (reference, total)
    assert (shown["nnz_sequential"], shown["nnz_skip"]) == (total - skips, skips)
    assert [(layer["name"], layer["weights"]) for layer in shown["layers"]] == [
        ("layers.0", 3072 * 512),
        ("layers.2", 512 * 256),
        ("layers.4", 256 * 128),
        ("layers.6", 128 * 64),
    ]
    assert sum(layer["kept"] for layer in shown["layers"]) == total - skips
    assert sum(skip["kept"] for skip in shown["skips"]) == skips > 0
    # every weight of a linear layer is used once for a sample
    assert shown["mac_density"] == total / reference
    assert [layer["macs"] for layer in shown["layers"]] == [layer["kept"] for layer in shown["layers"]]
    assert shown["mask_fingerprint"] == pruned.masks.fingerprint
    assert shown["artifact"] == str(outcome.artifact)


def test_the_artifact_lies_below_exported_under_a_name_of_what_it_is(artifacts):
    outcome = run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, criterion="rp", seed=2)))
    assert outcome.artifact.parent == artifacts.relative_to(artifacts.parent)
    assert outcome.artifact.name == f"mlp-random-n2n-d0.05-s2-{outcome.plan.fingerprint[:8]}"
    assert load(outcome.artifact).masks == outcome.pruned.masks


def test_a_dry_run_plans_and_writes_nothing(artifacts):
    request = ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05), dry_run=True)
    outcome = run(request)
    shown = document(outcome)
    assert (outcome.pruned, outcome.artifact, shown["artifact"], shown["mask_fingerprint"]) == (
        None,
        None,
        None,
        None,
    )
    assert list(artifacts.parent.iterdir()) == []
    done = run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05)))
    assert done.plan == outcome.plan
    drawn = document(done)
    for before, after in zip(shown["layers"], drawn["layers"], strict=True):
        assert before["silent_channels"] is None
        assert after.pop("silent_channels") >= 0
        del before["silent_channels"]
    same = {key for key, value in drawn.items() if value == shown[key]}
    # A pattern's counts are known before it is drawn, but not the channels that it leaves without a weight.
    assert drawn.keys() - same == {"artifact", "mask_fingerprint"}


@pytest.mark.usefixtures("artifacts")
def test_a_dry_run_of_scores_leaves_open_what_only_scores_tell():
    shown = document(
        run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, criterion="magnitude"), dry_run=True))
    )
    assert {layer["kept"] for layer in shown["layers"]} == {None}
    assert shown["mac_density"] is None
    assert shown["nnz_sequential"] > 0


def test_an_existing_output_is_refused_before_the_work_starts(artifacts, monkeypatch):
    def prune(*_arguments, **_options):
        raise AssertionError("the work has started")

    first = run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05)))
    before = (first.artifact / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(pipeline, "prune", prune)
    with pytest.raises(UsageError, match=r"already exists; choose another output or pass --overwrite"):
        run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.10), output=first.artifact))
    (artifacts / "thesis").mkdir()
    (artifacts / "thesis" / "chapter.tex").touch()
    with pytest.raises(UsageError, match=r"does not hold a manifest\.json"):
        run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05), output=artifacts / "thesis", overwrite=True))
    (artifacts / "thesis" / "manifest.json").touch()  # as a browser's extension has
    with pytest.raises(UsageError, match=r"thesis' also holds 'chapter\.tex', so --overwrite does not replace it"):
        run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05), output=artifacts / "thesis", overwrite=True))
    assert (first.artifact / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Shifted, r"Shifted is a class; give an object of it, Shifted\(\.\.\.\)"),
        (3, "the model is a int; give an nn.Module"),
    ],
)
def test_what_is_not_a_model_is_told_first(model, message):
    with pytest.raises(UsageError, match=message):
        apply(model, example_inputs=X)
    with pytest.raises(UsageError, match=message):
        inspect(model, example_inputs=X)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_dry_run_says_that_the_device_is_not_there():
    with pytest.raises(RunError, match=r"device 'cuda:0' was asked for .* torch sees 0 CUDA devices"):
        run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05), device="cuda:0", dry_run=True))


@pytest.mark.usefixtures("artifacts")
def test_the_same_request_twice_finds_what_is_there_and_does_nothing(monkeypatch):
    asked = ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, criterion="magnitude"))
    first = run(asked)
    monkeypatch.setattr(pipeline, "prune", None)  # would fail where it is called
    second = run(asked)
    assert second.to_json() == {**first.to_json(), "already_there": True}


@pytest.mark.usefixtures("artifacts")
def test_what_is_there_is_not_taken_where_versions_differ_or_it_is_damaged(monkeypatch):
    asked = ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05))
    first = run(asked)
    with monkeypatch.context() as patch:
        patch.setattr(same_artifact, "versions_in_use", lambda: (("n2nsurgery", "0"),))
        with pytest.raises(UsageError, match="already exists"):
            run(asked)
    (first.artifact / "values.safetensors").write_bytes(b"damaged")
    with pytest.raises(UsageError, match="already exists"):
        run(asked)


OWN = """
from pathlib import Path

from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(*(part for _ in range(4) for part in (nn.Linear(6, 6), nn.ReLU())))
        for parameter in self.parameters():
            nn.init.constant_(parameter, float(Path(__file__).with_name("value").read_text()))
"""


def test_an_own_model_twice_is_already_there_unless_its_weights_differ(artifacts):
    """The plan does not know what a factory does: what would be written is compared, bit by bit."""
    artifacts.mkdir()
    (artifacts / "net.py").write_text(OWN)
    (artifacts / "value").write_text("-0.5")  # pruned to -0.0
    asked = ApplyRequest(
        model=f"{artifacts / 'net.py'}:Net",
        input_size=(6,),
        output=artifacts / "out",
        surgery=SurgeryConfig(density=0.5),
    )
    first = run(asked)
    assert run(asked).to_json() == {**first.to_json(), "already_there": True}
    (artifacts / "value").write_text("0.5")
    with pytest.raises(UsageError, match=r"already exists, with an equal plan and other weights: .* pass --overwrite"):
        run(asked)
    assert not run(replace(asked, overwrite=True)).to_json()["already_there"]


def test_weights_of_another_key_of_one_file_are_told(artifacts):
    """The plan knows the file by its digest, and not which part of it was taken."""
    artifacts.mkdir()
    state = resolve_model("cifar-tiny-resnet", seed=0).module.state_dict()
    torch.save({"mean": state, "last": {name: 2 * value for name, value in state.items()}}, artifacts / "w.pth")
    asked = ApplyRequest(
        model="cifar-tiny-resnet",
        weights=str(artifacts / "w.pth"),
        weights_key="mean",
        surgery=SurgeryConfig(density=0.2),
    )
    run(asked)
    assert run(asked).to_json()["already_there"]
    with pytest.raises(UsageError, match="with an equal plan and other weights"):
        run(replace(asked, weights_key="last"))


@pytest.fixture
def forgotten():
    """What a test registers is forgotten when it ends."""
    before = [(registry, dict(registry._registered)) for registry in (CRITERIA, FAMILIES)]
    yield
    for registry, known in before:
        registry._registered.clear()
        registry._registered.update(known)


@pytest.mark.usefixtures("artifacts", "forgotten")
def test_a_plugin_whose_code_has_changed_is_told(monkeypatch):
    """Its name and place are as before, so the plan is."""

    @register.criterion("changing-score")
    @dataclass(frozen=True, kw_only=True)
    class Score:
        sign: ClassVar[int] = 1
        scope: str = "global"
        rounds: ClassVar[int] = 1
        needs: ClassVar[str] = "weights"

        def scores(self, context):
            parameters = dict(context.module.named_parameters())
            return {weight.name: self.sign * parameters[weight.name].detach() for weight in context.weights}

    asked = ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, criterion="changing-score"))
    run(asked)
    assert run(asked).to_json()["already_there"]
    monkeypatch.setattr(Score, "sign", -1)
    with pytest.raises(UsageError, match="with an equal plan and other masks"):
        run(asked)


@pytest.mark.usefixtures("artifacts", "forgotten")
def test_a_model_family_of_a_plugin_whose_code_has_changed_is_told(monkeypatch):
    @register.family("changing-mlp")
    @dataclass(frozen=True, kw_only=True)
    class Changing(Mlp):
        scale: ClassVar[float] = 1.0

        def build(self):
            module = super().build()
            with torch.no_grad():
                module.layers[0].weight.mul_(self.scale)
            return module

    asked = ApplyRequest(model="changing-mlp", surgery=SurgeryConfig(density=0.05))
    run(asked)
    assert run(asked).to_json()["already_there"]
    monkeypatch.setattr(Changing, "scale", 2.0)
    with pytest.raises(UsageError, match="with an equal plan and other weights"):
        run(asked)


def test_an_existing_artifact_is_replaced_when_asked(artifacts):
    run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05), output=artifacts / "mine"))
    run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.10), output=artifacts / "mine", overwrite=True))
    assert load(artifacts / "mine").plan.config.density == 0.10
    assert [path.name for path in artifacts.iterdir()] == ["mine"]


@pytest.mark.usefixtures("artifacts")
@pytest.mark.parametrize("criterion", ["random", "rp", "snip", "csp", "magnitude", "grasp", "synflow"])
def test_every_criterion_of_the_command_line_works(criterion, monkeypatch):
    monkeypatch.setattr(synflow.SynFlow.__init__, "__kwdefaults__", {"rounds": 2})  # a hundred take seconds
    request = ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, criterion=criterion, batch_size=8))
    outcome = run(request)
    assert outcome.pruned.masks.kept == outcome.plan.budget.total
    noisy = criterion in {"snip", "csp", "grasp", "synflow"}
    assert outcome.pruned.record.data == ("noise(seed=0,batch_size=8,count=1)" if noisy else None)


@pytest.mark.usefixtures("artifacts")
@pytest.mark.parametrize(
    ("criterion", "options", "message"),
    [
        ("synflow", {"scope": "layer"}, "scope does not go with the criterion 'synflow'"),
        ("rp", {"scope": "layer"}, "scope does not go with the criterion 'random': it is for criteria that score"),
        ("snip", {"granularity": "kernel"}, "granularity does not go with the criterion 'snip': .* that draw patterns"),
        ("magnitude", {"allocation": "uniform"}, "allocation does not go with the criterion 'magnitude'"),
        ("snip", {"criterion_options": {"bathces": 2}}, "unknown option of the criterion 'snip' 'bathces'"),
    ],
)
def test_an_option_that_the_criterion_does_not_have_is_refused(criterion, options, message):
    with pytest.raises(UsageError, match=message):
        run(
            ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, criterion=criterion, **options), dry_run=True)
        )


@pytest.mark.usefixtures("artifacts")
def test_the_papers_preset_is_equation_2_to_the_letter():
    plan = run(
        ApplyRequest(model="cifar-vgg19", surgery=SurgeryConfig.from_preset("paper", density=0.1), dry_run=True)
    ).plan
    assert (plan.config.skip_pattern, plan.config.skip_ratio, plan.config.skip_kernel) == ("random", 0.5, "target")
    assert (plan.config.skip_norm, plan.config.skip_placement) == ("never", "all")
    assert plan.config.all_criterion_options == {"allocation": "uniform"}
    assert {(skip.kernel, skip.norm, skip.start, skip.pair.length) for skip in plan.skips} == {((3, 3), False, None, 3)}


@pytest.mark.usefixtures("artifacts")
def test_every_option_reaches_the_plan():
    request = ApplyRequest(
        model="cifar-vgg19",
        surgery=SurgeryConfig(
            compression=20,
            skip_ratio=0.2,
            granularity="kernel",
            skip_length=2,
            pairs="blocks",
            include=("features.1*",),
            exclude=("features.46",),
            ignore=("features.0",),
            pooling="max",
            include_classifier=True,
            redistribute=True,
            floor_layer=3,
            seed=9,
        ),
        num_classes=7,
        dry_run=True,
    )
    config = run(request).plan.config
    assert (config.density, config.skip_ratio, config.seed) == (0.05, 0.2, 9)
    assert (config.sparsity, config.compression) == (None, None)
    assert config.all_criterion_options == {"granularity": "kernel"}
    assert config.pair_selection == PairSelection(
        policy="blocks", length=2, include=("features.1*",), exclude=("features.46",), include_classifier=True
    )
    assert (config.ignore, config.pooling, config.redistribute) == (("features.0",), "max", True)
    assert (config.floor_layer, config.floor_channel) == (3, 0)


@pytest.mark.usefixtures("artifacts")
def test_progress_names_its_stages_and_never_goes_back():
    seen: list[tuple[str, float]] = []
    run(
        ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, criterion="snip", batch_size=4)),
        lambda *step: seen.append(step),
    )
    assert [stage for stage, _ in seen] == [
        "building mlp",
        "tracing",
        "planning",
        "pruning",
        "scoring",
        "writing the artifact",
    ]
    done = [fraction for _, fraction in seen]
    assert done == sorted(done)
    assert 0 <= done[0] < done[-1] <= 1


@pytest.mark.usefixtures("artifacts")
def test_a_device_that_is_not_there_is_said():
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(RunError, match=f"device '{missing}' was asked for .*torch sees"):
        run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05), device=missing))


@pytest.mark.gpu
@pytest.mark.usefixtures("artifacts")
def test_scores_on_a_gpu_give_an_artifact_that_loads_on_the_cpu():
    outcome = run(
        ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, criterion="snip", batch_size=8), device="cuda")
    )
    assert outcome.pruned.masks.kept == outcome.plan.budget.total
    assert {value.device.type for value in load(outcome.artifact).module.parameters()} == {"cpu"}


@pytest.mark.gpu
def test_a_model_on_a_gpu_stays_there(tmp_path):
    model = Shifted().cuda()
    pruned = apply(model, density=0.5, criterion="snip", example_inputs=X.cuda())
    assert {value.device.type for value in pruned.module.parameters()} == {"cuda"}
    pruned.save(tmp_path / "artifact")
    loaded = load(tmp_path / "artifact", model)
    assert torch.equal(loaded.module(X.cuda()), pruned.module(X.cuda()))


@pytest.mark.usefixtures("artifacts")
def test_the_weights_are_those_of_the_named_model_with_its_seed():
    outcome = run(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, seed=5)))
    dense = resolve_model("mlp", seed=5).module.state_dict()
    for name, mask in outcome.pruned.masks.items():
        if name in dense:
            assert torch.equal(outcome.pruned.module.state_dict()[name][mask], dense[name][mask])


class Scaled(nn.Module):
    """A chain of linear layers with a setting of its forward."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))

    def forward(self, x, factor=1):
        for layer in self.layers:
            x = layer(x).relu()
        return factor * x


def test_a_setting_that_the_plan_cannot_keep_is_told():
    pruned = apply(Scaled(), density=0.5, example_inputs=(torch.zeros(2, 16), 3))
    assert "the example has 'factor=3'" in pruned.plan.warnings[-1]
    assert (
        apply(Scaled(), density=0.5, example_inputs=(torch.zeros(2, 16), 1)).plan.warnings == pruned.plan.warnings[:-1]
    )


def test_an_own_model_by_name_takes_its_shape_from_the_example_in_python(tmp_path):
    (tmp_path / "net.py").write_text(OWN)
    (tmp_path / "value").write_text("0.5")
    name = f"{tmp_path / 'net.py'}:Net"
    pruned = apply(name, example_inputs=torch.zeros(3, 6), density=0.5)
    assert json.loads(pruned.plan.model)["input_shapes"] == [[6]]
    again = load(pruned.save(tmp_path / "kept"), allow_import=True)
    assert torch.equal(again.module(torch.ones(1, 6)), pruned.module(torch.ones(1, 6)))
    with pytest.raises(UsageError, match="in Python, by example_inputs"):
        apply(name, density=0.5)
