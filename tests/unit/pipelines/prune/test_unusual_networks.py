"""Networks whose dtype, rank, memory or gradients change on the way, and networks that hold pruned parts."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from n2nsurgery import apply, export_onnx, report
from n2nsurgery.core.errors import TraceError, UsageError
from n2nsurgery.pipelines.connectivity.making_of import making_of

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(4)


def body(inputs: int = 8, outputs: int = 16, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    sizes = [inputs, 16, 16, 16]
    parts = [part for size in sizes[:-1] for part in (nn.Linear(size, 16), nn.ReLU())]
    return nn.Sequential(*parts, nn.Linear(16, outputs), nn.ReLU()).to(dtype)


class Cast(nn.Module):
    """A body in another dtype than the head, cast or under autocast."""

    def __init__(self, dtype: torch.dtype, *, autocast: bool) -> None:
        super().__init__()
        self.dtype, self.autocast = dtype, autocast
        self.body = body(dtype=torch.float32 if autocast else dtype)
        self.head = body(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        if not self.autocast:
            return self.head(self.body(x.to(self.dtype)).float())
        with torch.autocast("cpu", dtype=self.dtype):
            x = self.body(x)
        return self.head(x.float())


@pytest.mark.parametrize("skip", ["n2n", "residual"])
@pytest.mark.parametrize("autocast", [True, False])
def test_skips_lead_from_one_dtype_to_another(autocast, skip):
    pruned = apply(Cast(torch.bfloat16, autocast=autocast), example_inputs=X, density=0.5, skip=skip)
    crossing = [each for each in pruned.plan.skips if each.pair.source[:4] == "body" and each.pair.target[:4] == "head"]
    assert crossing
    result = pruned.module(X)
    assert result.dtype == torch.float32
    result.sum().backward()
    assert all(parameter.grad is not None for parameter in pruned.module.parameters())


def test_a_network_of_two_dtypes_is_exported(tmp_path):
    pruned = apply(Cast(torch.float64, autocast=False), example_inputs=X, density=0.5)
    assert ("body.4", "head.2") in {(each.pair.source, each.pair.target) for each in pruned.plan.skips}
    report = export_onnx(pruned, tmp_path / "network.onnx")
    assert report.parity
    assert all(each.difference < 1e-5 for each in report.parity)


DOUBLE = "weights of float32 and cannot take inputs of float64: convert them, as in x.to.torch.float32."


def test_examples_that_the_weights_cannot_be_multiplied_with_are_refused():
    with pytest.raises(UsageError, match=DOUBLE):
        apply(body(), example_inputs=X.double(), density=0.5)
    with pytest.raises(UsageError, match=DOUBLE):
        apply(body(), example_inputs=X, density=0.5, criterion="snip", data=[(X.double(), LABELS)])


def test_examples_that_the_network_casts_itself_are_taken():
    apply(Cast(torch.float32, autocast=False), example_inputs=X.double(), density=0.5)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_a_part_of_torch_jit_is_refused_by_name_where_it_has_weights():
    with pytest.raises(TraceError, match="Linear '0' was made by"):
        apply(nn.Sequential(torch.jit.script(nn.Linear(8, 8)), *body()), example_inputs=X, density=0.5)
    pruned = apply(nn.Sequential(torch.jit.script(nn.Softsign()), *body()), example_inputs=X, density=0.5)
    assert torch.isfinite(pruned.module(X)).all()


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(size, 16, dtype=torch.complex64) for size in (8, 16))
        self.head = body(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))).abs())


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("skip", ["n2n", "residual"])
def test_no_skip_leads_from_complex_values_to_real_ones(skip):
    pruned = apply(Complex(), example_inputs=X.to(torch.complex64), density=0.5, skip=skip)
    refused = {
        (each.source, each.target) for each in pruned.plan.refused if "is complex and the target real" in each.reason
    }
    assert ("first", "head.2") in refused
    assert pruned.plan.skips
    assert not refused & {(each.pair.source, each.pair.target) for each in pruned.plan.skips}


class Squeezed(nn.Module):
    """A classifier whose forward drops the batch of a single sample."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AvgPool2d(4))
        self.hidden, self.head = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.features(x).squeeze())))


@pytest.mark.parametrize("skip", ["n2n", "residual"])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_squeeze_that_drops_the_batch_keeps_the_shape_of_the_output(batch, skip):
    options = {"skip_length": 2, "density": 0.5, "include_classifier": True}
    pruned = apply(Squeezed(), example_inputs=torch.zeros(batch, 3, 8, 8), skip=skip, **options)
    assert pruned.plan.skips
    assert pruned.module(torch.zeros(1, 3, 8, 8)).shape == (4,)
    assert pruned.module(torch.zeros(3, 3, 8, 8)).shape == (3, 4)


@pytest.mark.parametrize(
    ("around", "named"),
    [
        (lambda pruned: nn.Sequential(pruned, nn.Linear(16, 4)), "'0' of Sequential"),
        (nn.DataParallel, "^Sequential"),
        (lambda pruned: pruned[:4], "'0.weight' of Sequential"),
    ],
    ids=["inside", "parallel", "a slice"],
)
def test_what_holds_a_pruned_part_is_not_pruned_again(around, named):
    pruned = apply(body(), example_inputs=X, density=0.5, skip="none").module
    with pytest.raises(UsageError, match=f"{named} was pruned before: start again from the dense model"):
        apply(around(pruned), example_inputs=X, density=0.5)


def test_what_holds_a_pruned_part_has_a_report():
    pruned = apply(body(), example_inputs=X, density=0.5, skip="none").module
    assert report(nn.Sequential(pruned, nn.Linear(16, 4)), example_inputs=X).findings


def test_weights_in_the_same_memory_are_refused_before_anything_is_pruned():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    model[2].weight.data = model[0].weight.data.t()
    before = model[0].weight.clone()
    with pytest.raises(UsageError, match=r"'0\.weight' and '2\.weight' are two parameters in the same memory"):
        apply(model, example_inputs=X, density=0.5, inplace=True)
    assert torch.equal(model[0].weight, before)


class WithSpare(nn.Module):
    """A head for train mode, and a layer that nothing calls."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.auxiliary, self.spare = body(), nn.Linear(16, 2), nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.body(x)
        return (x, self.auxiliary(x)) if self.training else x


def test_a_layer_that_forward_never_calls_is_named_with_its_part_of_the_budget():
    pruned = apply(WithSpare(), example_inputs=X, density=0.1, skip="none")
    kept = int(pruned.module.spare.weight.count_nonzero())
    (warning,) = (each for each in pruned.record.warnings if "in neither mode" in each)
    assert warning.startswith(f"forward reads 'spare.weight' in neither mode, with {kept} of {pruned.masks.kept} kept")
    assert not apply(Cast(torch.float32, autocast=False), example_inputs=X, density=0.5, skip="none").record.warnings


def test_weights_that_are_frozen_are_named():
    model = body()
    model[2].requires_grad_(False)
    pruned = apply(model, example_inputs=X, density=0.5, skip="none")
    (warning,) = pruned.record.warnings
    assert warning.startswith("1 of 4 pruned parameters are frozen ('2.weight'): with requires_grad=False, training")
    assert not apply(model, example_inputs=X, density=0.9, skip="none", ignore=["2"]).record.warnings


class WithoutGradient(nn.Module):
    """A body that is called under no_grad, alone or before it is called again."""

    def __init__(self, *, again: bool) -> None:
        super().__init__()
        self.body, self.head, self.again = body(), nn.Linear(16, 4), again

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            found = self.body(x)
        return self.head(self.body(x) + found if self.again else found)


@pytest.mark.parametrize("criterion", ["snip", "grasp", "force", "synflow"])
def test_weights_that_are_called_without_gradients_cannot_be_scored(criterion):
    options = {"criterion": criterion, "data": (X, LABELS), "density": 0.3, "skip": "none"}
    named = r"'body\.0\.weight', 'body\.2\.weight', 'body\.4\.weight' and 1 more cannot be scored"
    with pytest.raises(UsageError, match=named):
        apply(WithoutGradient(again=False), example_inputs=X, **options)
    rounds = {"criterion_options": {"rounds": 2}} if criterion in {"force", "synflow"} else {}
    pruned = apply(WithoutGradient(again=True), example_inputs=X, **options, **rounds)
    assert pruned.module.body[0].weight.any()


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.first, self.second = body(), nn.Linear(16, 4), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.body(x)
        return {"first": self.first(x), "second": self.second(x)}


def of_both(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
    return sum(functional.cross_entropy(output, targets) for output in outputs.values())


@pytest.mark.parametrize("criterion", ["snip", "grasp"])
def test_a_loss_of_ones_own_is_given_all_that_the_model_returns(criterion):
    options = {"criterion": criterion, "data": (X, LABELS), "density": 0.3, "skip": "none", "example_inputs": X}
    pruned = apply(TwoHeads(), loss=of_both, **options)
    assert pruned.module.second.weight.any()
    assert not pruned.record.warnings
    with_default = apply(TwoHeads(), **options)
    assert not with_default.module.second.weight.any()
    assert "the default loss looks at the first output alone, not at 'second'" in with_default.record.warnings[0]


def test_synflow_follows_all_outputs():
    options = {"criterion": "synflow", "criterion_options": {"rounds": 2}, "density": 0.3, "skip": "none"}
    assert apply(TwoHeads(), example_inputs=X, **options).module.second.weight.any()


def test_a_report_looks_at_the_magnitudes_of_complex_weights():
    class Imaginary(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).abs()

    model = Imaginary(*(nn.Linear(8, 8, dtype=torch.complex64) for _ in range(2)))
    for layer in model:
        layer.weight.data = 1j * layer.weight.data.real
    pruned = apply(model, example_inputs=X.to(torch.complex64), density=0.5, skip="none")
    assert report(pruned).quantity("components.zero_edges").value == 0


def test_a_state_that_is_no_tensor_is_refused_with_its_name():
    class Counted(nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {"calls": 1}

        def set_extra_state(self, state: dict[str, int]) -> None: ...

    model = nn.Sequential(Counted(8, 8), nn.ReLU(), nn.Linear(8, 8))
    with pytest.raises(UsageError, match=r"'0\._extra_state' of Counted is a dict, and files hold tensors alone"):
        apply(model, example_inputs=X, density=0.5)


class Recurrent(nn.Module):
    """A layer that is called three times, and one that computes its weight from two."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        for _ in range(3):
            x = torch.relu(self.again(x))
        return functional.linear(x, self.last.weight * 2)


def test_remedies_name_the_layers_of_the_plan():
    making = making_of(apply(Recurrent(), example_inputs=X, density=0.5, skip="none").plan)
    assert making is not None
    rows = ("again", "again#2", "again#3", "first", "last.computed", "other#2")
    assert [making.layer(row) for row in rows] == ["again", "again", "again", "first", None, None]
