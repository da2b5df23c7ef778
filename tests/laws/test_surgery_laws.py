"""Laws of the whole operation, for any small network and any request."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from n2nsurgery import PrunedModel, SurgeryPlan, SurgeryRecord
from n2nsurgery.core.errors import BudgetError
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import Trace, trace
from n2nsurgery.masks.criterion import CRITERIA
from n2nsurgery.masks.store import pack, unpack
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.plan import InputSpec
from n2nsurgery.surgery.planning.planner import PlannedModel, plan_surgery
from n2nsurgery.surgery.prune import ScoringData, prune
from n2nsurgery.surgery.replay import replay

SEEDS = st.integers(0, 2**31)
few_examples = settings(max_examples=40)


class Stack(nn.Module):
    """Five layers with norm and activation, then a linear head; `shortcuts` lead around every second layer."""

    def __init__(self, build, norm, width: int = 6, *, shortcuts: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(build(3 if index == 0 else width, width) for index in range(5))
        self.norms = nn.ModuleList(norm(width) for _ in range(5))
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(width, 3)
        self.act = nn.SiLU()
        self.shortcuts = shortcuts

    def forward(self, x: Tensor) -> Tensor:
        held = x
        for index, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            z = norm(layer(x))
            if self.shortcuts and index in {2, 4}:
                z = z + held
            held, x = x, self.act(z)
        x = x.flatten(2).mean(2) if x.dim() > 3 else x.mean(1)
        return self.head(self.dropout(x))


def conv2d(c_in: int, c_out: int) -> nn.Module:
    return nn.Conv2d(c_in, c_out, 3, padding=1)


def strided(c_in: int, c_out: int) -> nn.Module:
    return nn.Conv2d(c_in, c_out, 3, padding=1, stride=1 if c_in == 3 else 2, groups=3)


def conv3d(c_in: int, c_out: int) -> nn.Module:
    return nn.Conv3d(c_in, c_out, (1, 3, 3), padding=(0, 1, 1))


NETS = {
    "images": (lambda: Stack(conv2d, nn.BatchNorm2d), (3, 6, 6)),
    "grouped and strided": (lambda: Stack(strided, nn.BatchNorm2d), (3, 24, 24)),
    "residual": (lambda: Stack(conv2d, nn.BatchNorm2d, shortcuts=True), (3, 6, 6)),
    "volumes": (lambda: Stack(conv3d, nn.BatchNorm3d), (3, 2, 4, 4)),
    "tokens": (lambda: Stack(nn.Linear, nn.LayerNorm), (5, 3)),
}
nets = st.sampled_from(list(NETS))


@cache
def traced(net: str) -> Trace:
    """The trace of a network with seeded weights; `prune` works on a copy of its module."""
    build, shape = NETS[net]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return trace(build(), (torch.zeros(2, *shape),))


def inputs(net: str, seed: int = 1) -> Tensor:
    return torch.randn(4, *NETS[net][1], generator=torch.Generator().manual_seed(seed))


def planned(net: str, **options) -> SurgeryPlan:
    """The plan; a request that cannot be met is no example."""
    model = PlannedModel(
        recipe=None, class_name="Stack", inputs=(InputSpec(name="x", shape=(2, *NETS[net][1]), dtype="float32"),)
    )
    try:
        return plan_surgery(layer_graph(traced(net)), SurgeryConfig(**options), model)
    except BudgetError:
        assume(False)


def pruned(net: str, plan: SurgeryPlan) -> PrunedModel:
    module = copy.deepcopy(traced(net).module)
    batch = ((inputs(net, seed=2),), torch.tensor([0, 1, 2, 0]))
    data = ScoringData(batches=[batch])
    return prune(Trace(module=module, leaves=(), weight_uses={}), plan, data)


def quick(criterion: str) -> dict:
    """Two rounds of SynFlow instead of a hundred."""
    return {"criterion_options": {"rounds": 2} if criterion == "synflow" else {}}


@st.composite
def requests(draw, least: float = 0.05) -> dict:
    """Options of a SurgeryConfig, all of them valid."""
    skip = draw(st.sampled_from(["n2n", "n2n", "n2n", "residual", "none"]))
    pattern = draw(st.sampled_from(["one-to-one", "random"]))
    ratios = st.floats(0, 0.9) if pattern == "random" else st.floats(0, 0.9) | st.just("auto")
    name = draw(st.sampled_from(CRITERIA.names()))
    return {
        "density": draw(st.floats(least, 1)),
        "skip": skip,
        "skip_ratio": draw(ratios) if skip == "n2n" else 0,
        "skip_pattern": pattern,
        "skip_kernel": draw(st.sampled_from(["auto", "1", "target"])),
        "skip_allocation": draw(st.sampled_from(["uniform", "equal"])),
        "skip_norm": draw(st.sampled_from(["auto", "always", "never"])),
        "pooling": draw(st.sampled_from(["average", "max", "stride"])),
        "criterion": name,
        **quick(name),
        "pairs": draw(st.sampled_from(["overlapping", "blocks", "random", "all"])),
        "skip_length": draw(st.integers(2, 3)),
        "include_classifier": draw(st.booleans()),
        "skip_placement": draw(st.sampled_from(["avoid-residual", "two-blocks", "all"])),
        "redistribute": draw(st.booleans()),
        "seed": draw(SEEDS),
    }


@given(net=nets, options=requests())
def test_a_plan_divides_the_budget_to_the_last_weight(net, options):
    plan = planned(net, **options)
    budget = plan.budget
    assert budget.reference == sum(weight.numel for weight in plan.weights)
    assert budget.total == round(options["density"] * budget.reference)
    assert sum(skip.kept for skip in plan.skips) == budget.skips
    if options["skip_ratio"] != "auto" and not options["redistribute"]:
        assert budget.skips == round(options["skip_ratio"] * budget.total)
    for skip in plan.skips:
        assert (0 < skip.kept <= skip.numel) if skip.weight_shape else skip.kept == 0
    if plan.kept is not None:
        assert sum(plan.kept) == budget.sequential


@given(net=nets, options=requests())
def test_a_plan_comes_back_from_its_text(net, options):
    plan = planned(net, **options)
    assert SurgeryPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@few_examples
@given(net=nets, options=requests())
def test_the_tensors_hold_exactly_the_budget(net, options):
    plan = planned(net, **options)
    done = pruned(net, plan)
    in_skips = {name: mask for name, mask in done.masks.items() if name.startswith("n2n_skips.")}
    assert sum(int(mask.sum()) for mask in done.masks.values()) == round(options["density"] * plan.budget.reference)
    assert sum(int(mask.sum()) for mask in in_skips.values()) == plan.budget.skips
    matrices = {name for name, value in done.module.named_parameters() if value.dim() > 1}
    assert set(done.masks) == matrices
    for name, mask in done.masks.items():
        assert not done.module.get_parameter(name).detach()[~mask].any()
    # Start values of skips and drawn weights are never exactly zero, so that every kept weight can be seen.
    assert all(done.module.get_parameter(name).detach()[mask].all() for name, mask in in_skips.items())


@few_examples
@given(net=nets, options=requests())
def test_the_same_plan_gives_the_same_network(net, options):
    plan = planned(net, **options)
    first, second = pruned(net, plan), pruned(net, SurgeryPlan.from_json(plan.to_json()))
    assert first.plan.fingerprint == second.plan.fingerprint
    assert first.masks.fingerprint == second.masks.fingerprint
    state = first.module.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in second.module.state_dict().items())


@few_examples
@given(net=nets, options=requests(), training=st.booleans())
def test_a_replay_of_what_was_stored_computes_the_same_to_the_bit(net, options, training):
    done = pruned(net, planned(net, **options))
    plan, record = (json.loads(json.dumps(value.to_json())) for value in (done.plan, done.record))
    shapes = {name: tuple(mask.shape) for name, mask in done.masks.items()}
    fresh = copy.deepcopy(traced(net))
    for parameter in fresh.module.parameters():
        nn.init.constant_(parameter, 0.5)  # the dense model's own weights do not matter
    again = replay(
        fresh,
        SurgeryPlan.from_json(plan),
        SurgeryRecord.from_json(record),
        unpack(pack(done.masks), shapes),
        done.module.state_dict(),
    )
    assert torch.equal(
        output(again.module, inputs(net), training=training), output(done.module, inputs(net), training=training)
    )


def output(module: nn.Module, x: Tensor, *, training: bool) -> Tensor:
    """The output with seeded dropout, leaving running statistics as they are."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(4)
        return copy.deepcopy(module).train(training)(x)


@few_examples
@given(net=nets, options=requests(), training=st.booleans())
def test_skips_without_weights_leave_the_output_bit_identical(net, options, training):
    done = pruned(net, planned(net, **options | {"skip": "n2n", "redistribute": True}))
    assume(done.plan.skips)
    reference = copy.deepcopy(traced(net).module)
    with torch.no_grad():
        for skip in done.plan.skips:
            done.module.get_parameter(f"{skip.name}.weight").zero_()
    state = done.module.state_dict()
    reference.load_state_dict({name: state[name] for name in reference.state_dict()})
    assert torch.equal(
        output(done.module, inputs(net), training=training), output(reference, inputs(net), training=training)
    )


@few_examples
@given(net=nets, criterion=st.sampled_from(CRITERIA.names()), seed=SEEDS, training=st.booleans())
def test_density_one_without_skips_changes_nothing(net, criterion, seed, training):
    done = pruned(net, planned(net, density=1, skip_ratio=0, criterion=criterion, seed=seed, **quick(criterion)))
    dense = traced(net).module
    assert list(done.module.state_dict()) == list(dense.state_dict())
    assert all(torch.equal(tensor, dense.state_dict()[name]) for name, tensor in done.module.state_dict().items())
    assert torch.equal(
        output(done.module, inputs(net), training=training), output(dense, inputs(net), training=training)
    )


@few_examples
@given(
    net=nets, criterion=st.sampled_from(["magnitude", "snip"]), a=st.floats(0.05, 1), b=st.floats(0.05, 1), seed=SEEDS
)
def test_with_the_same_scores_a_lower_density_keeps_a_subset(net, criterion, a, b, seed):
    few, many = (
        pruned(net, planned(net, density=density, skip="none", criterion=criterion, seed=seed)).masks
        for density in sorted((a, b))
    )
    assert not any((few[name] & ~many[name]).any() for name in few)


@few_examples
@given(net=nets, options=requests(least=0.6))
def test_a_gradient_reaches_every_skip_and_no_pruned_weight(net, options):
    """Where enough is kept for every target to reach the output, and g has a slope everywhere."""
    done = pruned(net, planned(net, **options | {"skip": "n2n", "criterion": "random", "criterion_options": {}}))
    module = done.module.eval()
    module(inputs(net)).square().sum().backward()
    for skip in done.plan.skips:
        if skip.weight_shape is not None:
            gradient = module.get_parameter(f"{skip.name}.weight").grad
            assert gradient.any(), skip.name
    for name, mask in done.masks.items():
        assert not module.get_parameter(name).grad[~mask].any(), name


FRESH = """
import sys
sys.path.insert(0, {folder!r})
import test_surgery_laws as laws
done = laws.reference()
print(done.plan.fingerprint, done.masks.fingerprint)
"""


def reference() -> PrunedModel:
    """One operation with every kind of draw in it: pairs, patterns of layers and skips, start values."""
    options = {
        "density": 0.3,
        "skip_ratio": 0.2,
        "pairs": "random",
        "num_pairs": 3,
        "allocation": "global",
        "seed": 11,
    }
    return pruned("images", planned("images", **options))


def test_a_fresh_process_makes_the_same_plan_and_the_same_masks():
    finished = subprocess.run(
        [sys.executable, "-c", FRESH.format(folder=str(Path(__file__).parent))],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = reference()
    assert finished.stdout.split() == [here.plan.fingerprint, here.masks.fingerprint]


def test_the_masks_are_those_of_every_machine_and_every_version():
    """Frozen: a change here means that no stored plan gives the masks that it gave before."""
    frozen = "523e23332d4627e729e62482ccb3ece4b51351670814b1c94f508950ec441aed"
    assert reference().masks.fingerprint == frozen
