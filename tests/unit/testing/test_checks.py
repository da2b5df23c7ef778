"""Each check is seen to fail on a planted fault, and says which promise is broken."""

import dataclasses
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from n2nsurgery.connectivity import Measurement, Quantity
from n2nsurgery.data.sets.fake import Fake
from n2nsurgery.masks.allocations.uniform import Uniform
from n2nsurgery.masks.criteria.magnitude import Magnitude
from n2nsurgery.masks.criteria.random import Random
from n2nsurgery.masks.granularities.kernel import KernelGranularity
from n2nsurgery.models.families.mlp import Mlp
from n2nsurgery.skips.kinds.residual import Residual, ResSkip
from n2nsurgery.testing import (
    check_allocation,
    check_criterion,
    check_data_set,
    check_dynamics,
    check_family,
    check_granularity,
    check_loss,
    check_metric,
    check_optimizer,
    check_schedule,
    check_skip_kind,
    check_training_metric,
)
from n2nsurgery.training.dynamics.gmp import GradualMagnitudePruning
from n2nsurgery.training.dynamics.set import SparseEvolution
from n2nsurgery.training.losses.cross_entropy import CrossEntropy
from n2nsurgery.training.optimizers.sgd import Sgd
from n2nsurgery.training.schedules.constant import Constant
from n2nsurgery.training.training_metrics.top1 import Top1


def planted(base, **members):
    """A subclass of `base` with other methods."""
    return dataclass(frozen=True, kw_only=True)(type("Planted", (base,), members))


def infinite(_self, context):
    return {weight.name: torch.full(weight.shape, torch.inf) for weight in context.weights}


def global_noise(_self, context):
    return {weight.name: torch.rand(weight.shape) for weight in context.weights}


def wiping(_self, context):
    context.module.get_parameter("0.weight").data.zero_()
    return {weight.name: torch.ones(weight.shape) for weight in context.weights}


@pytest.mark.parametrize(
    ("members", "promise"),
    [
        ({"scores": infinite}, "scores that are not finite"),
        ({"scores": global_noise}, "draws from torch's global generator"),
        ({"scores": wiping}, "changes 0.weight"),
        ({"needs": "everything"}, "has needs = 'everything'; it must be one of nothing, weights, inputs, batches"),
        ({"rounds": 0}, "has 0 rounds"),
    ],
)
def test_a_faulty_score_is_told(members, promise):
    with pytest.raises(AssertionError, match=f"Planted: .*{promise}"):
        check_criterion(planted(Magnitude, **members))


def test_a_pattern_that_keeps_too_few_is_told():
    def nothing(_self, weight, _count, _generator):
        return torch.zeros(weight.shape, dtype=torch.bool)

    with pytest.raises(AssertionError, match="Planted: cannot keep 1 of 246 weights: 0 weights were kept"):
        check_criterion(planted(Random, pattern=nothing))


def test_a_criterion_that_is_not_a_dataclass_is_told():
    class Loose:
        needs = "nothing"

    with pytest.raises(AssertionError, match="Loose: is not a dataclass"):
        check_criterion(Loose())


def test_a_criterion_with_a_field_that_no_plan_can_hold_is_told():
    @dataclass(frozen=True, kw_only=True)
    class WithTensor(Magnitude):
        scale: object = dataclasses.field(default_factory=frozenset)

    with pytest.raises(AssertionError, match="WithTensor: has the field scale = frozenset"):
        check_criterion(WithTensor)


def test_a_class_without_defaults_asks_for_an_instance():
    @dataclass(frozen=True, kw_only=True)
    class Needy(Magnitude):
        more: int

    with pytest.raises(AssertionError, match="Needy: cannot be made without arguments"):
        check_criterion(Needy)
    check_criterion(Needy(more=1))


def test_a_faulty_allocation_is_told():
    half = planted(Uniform, shares=lambda _self, shapes, _total, _generator: [0.5] * len(shapes))
    with pytest.raises(AssertionError, match="whole numbers are needed"):
        check_allocation(half)


def test_a_faulty_granularity_is_told():
    lost = planted(KernelGranularity, expand=lambda _self, _units, grid: np.zeros(grid.shape, dtype=bool))
    with pytest.raises(AssertionError, match="expands units that are all True to weights that are not"):
        check_granularity(lost)


class Doubling(ResSkip):
    def forward(self, z, a):
        return z.mul_(2) + super().forward(z, a)


def test_a_skip_that_changes_its_input_is_told():
    doubling = planted(
        Residual,
        build=lambda _self, spec: Doubling(
            spec.pair.target_signal.channels,
            channel_dim=1 if spec.pair.target_signal.layout == "channels_first" else -1,
            alignment=spec.align,
        ),
    )
    with pytest.raises(AssertionError, match="changes one of its inputs at '1d'"):
        check_skip_kind(doubling)


def test_a_kind_that_accepts_nothing_is_told():
    with pytest.raises(AssertionError, match="accepts none of the pairs"):
        check_skip_kind(planted(Residual, accepts=lambda _self, _pair, _options: "never"))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A metric whose value is given."""

    value: float = 1.0
    meaning: str = "A number"
    needs_reference: ClassVar[bool] = False

    def measure(self, _subject, _reference):
        return Measurement(quantities={"x": Quantity(value=self.value, unit="", meaning=self.meaning)})


def test_a_metric_from_outside_passes_without_citing_anybody():
    check_metric(Measured)


def looking(self, subject, reference):
    return Measured.measure(self, subject, reference.graph)


@pytest.mark.parametrize(
    ("metric", "promise"),
    [
        (Measured(value=float("nan")), "gives for 'pruned' what JSON cannot hold"),
        (Measured(meaning=" "), "gives 'x' no meaning"),
        (planted(Measured, measure=lambda _self, _subject, _reference: Measurement()), "measures nothing of 'pruned'"),
        (planted(Measured, measure=lambda _self, _subject, reference: reference.graph), "no Measurement"),
        (planted(Measured, measure=looking), "needs no reference, and looks at one"),
    ],
)
def test_a_faulty_metric_is_told(metric, promise):
    with pytest.raises(AssertionError, match=promise):
        check_metric(metric)


def test_a_faulty_data_set_is_told():
    def load(self, root, *, download, seed):
        return Fake.load(self, root, download=download, seed=seed + int(torch.rand(()) * 1e6))

    with pytest.raises(AssertionError, match="Planted: gives other samples for the same seed"):
        check_data_set(planted(Fake, load=load)(train=60, test=20, shape=(6,)))


def test_a_family_whose_output_is_too_wide_is_told():
    wide = planted(Mlp, build=lambda self: Mlp(num_classes=self.num_classes + 1).build())
    with pytest.raises(AssertionError, match=r"outputs of shape \(2, 8\) for two samples and 7 classes"):
        check_family(wide)


def test_a_loss_that_sums_is_told():
    def total(_self, outputs, targets):
        return torch.nn.functional.cross_entropy(outputs, targets, reduction="sum")

    with pytest.raises(AssertionError, match="for it repeated; take the mean"):
        check_loss(planted(CrossEntropy, __call__=total))


class Drifting(torch.optim.SGD):
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data -= group["lr"] * (parameter.data + 0.01)


def test_an_optimizer_that_moves_zeros_is_told():
    drifting = planted(Sgd, __call__=lambda self, groups: Drifting(groups, lr=self.lr, weight_decay=self.weight_decay))
    with pytest.raises(AssertionError, match="moves weights that are zero and have no gradient"):
        check_optimizer(drifting)


def test_a_schedule_that_counts_its_calls_is_told():
    calls = []

    def counting(_self, lr, _step, _span):
        calls.append(lr)
        return lr / len(calls)

    with pytest.raises(AssertionError, match="in another order"):
        check_schedule(planted(Constant, __call__=counting))


def redrawn(_self, weights, _moment):
    return {name: torch.randperm(w.numel)[: w.kept].sort().values for name, w in weights.items()}


def shortened(self, weights, moment):
    return {**SparseEvolution.places(self, weights, moment), "last": weights["last"].places[1:]}


@pytest.mark.parametrize(
    ("member", "promise"),
    [
        (planted(SparseEvolution, places=redrawn), "draws from torch's global generator"),
        (planted(SparseEvolution, places=shortened), "keeps 30 of 'last', 31 before, and says keeps_counts"),
        (planted(SparseEvolution, kept=lambda _self, start, step, _span: start + step), "a budget cannot grow"),
        (planted(SparseEvolution, needs="luck"), "must be 'weights' or 'gradients'"),
        (planted(GradualMagnitudePruning, keeps_counts=True), "and says keeps_counts"),
    ],
)
def test_dynamics_that_break_a_promise_are_told(member, promise):
    with pytest.raises(AssertionError, match=promise):
        check_dynamics(member)


def test_a_training_metric_of_means_is_told():
    means = planted(Top1, sums=lambda self, outputs, targets: Top1.sums(self, outputs, targets) / len(targets))
    with pytest.raises(AssertionError, match="are not those of the whole batch"):
        check_training_metric(means)


def test_the_checks_need_no_test_library():
    code = "import sys; import n2nsurgery.testing; assert not {'pytest', 'hypothesis'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
