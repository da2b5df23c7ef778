"""The sparse twin of a module: same results, same state, same training, and the way back."""

from __future__ import annotations

import copy
import functools
import threading
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import n2nsurgery
from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.attachment import apply_masks
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.skips.kinds.n2n import N2NSkip
from n2nsurgery.sparse_training import SparseConv, SparseLinear, SparsePattern, choices_of, sparse_training, to_dense
from n2nsurgery.sparse_training.choice import Engine, LayerChoice, Seconds, predicted_gain, whole_network
from n2nsurgery.sparse_training.functions.layout import is_laid_out
from n2nsurgery.sparse_training.modules.laid_out import LaidOutBatchNorm
from n2nsurgery.sparse_training.modules.layers import SparseLayer
from n2nsurgery.sparse_training.modules.skips import LaidOutResSkip, SparseN2NSkip

STEPS = 200


def plain_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
        nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=2), nn.BatchNorm2d(12), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(12, 16, 1), nn.BatchNorm2d(16), nn.SiLU(),
        nn.Conv2d(16, 16, 3, padding="same"), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 5),
    )  # fmt: skip


class Residual(nn.Module):
    """Shortcuts, a layer that is called twice, and a weight that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.one = nn.Conv2d(8, 8, 1, bias=False)
        self.other = nn.Conv2d(8, 8, 1, bias=False)
        self.other.weight = self.one.weight
        self.relu = nn.ReLU()
        self.own = nn.Parameter(torch.randn(5, 8) / 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        x = self.relu(x + self.twice(x))
        x = self.relu(x + self.twice(x))
        x = x + self.one(x) + self.other(torch.tanh(x))
        return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), self.own)


def masks_of(module: nn.Module, density: float = 0.3) -> MaskSet:
    random = torch.Generator().manual_seed(1)
    weights = {name: p for name, p in module.named_parameters() if p.ndim > 1}
    return MaskSet({name: torch.rand(p.shape, generator=random) < density for name, p in weights.items()})


def batches(count: int, size: int = 20):
    random = torch.Generator().manual_seed(2)
    for _ in range(count):
        yield torch.randn(size, 3, 8, 8, generator=random), torch.randint(5, (size,), generator=random)


def losses(module: nn.Module, count: int) -> list[float]:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.005, momentum=0.9, weight_decay=5e-4)
    found = []
    for x, target in batches(count):
        optimizer.zero_grad()
        loss = F.cross_entropy(module(x), target)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


class Plain(nn.Module):
    """A forward of its own around the layers of `plain_network`."""

    def __init__(self) -> None:
        super().__init__()
        self.features = plain_network()[:13]
        self.classifier = plain_network()[13:]

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def pruned(which: str) -> nn.Module:
    kind, _, engine = which.partition(" ")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Plain() if engine == "hooks" else plain_network()
    module = n2nsurgery.apply(
        network, density=0.4, skip=kind, engine=engine or "rewrite", example_inputs=torch.randn(2, 3, 8, 8)
    ).module
    assert any("skip" in name for name, _ in module.named_modules())
    return module.train()


def made(which: str) -> nn.Module:
    if which not in {"chain", "shared"}:
        return pruned(which)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = plain_network() if which == "chain" else Residual()
    apply_masks(module, masks_of(module))
    return module.train()


NETWORKS = ("chain", "shared", "n2n", "residual", "n2n hooks", "residual hooks")


@pytest.mark.parametrize("which", ["chain", "shared", "n2n", "residual hooks"])  # the others in fewer steps, below
def test_the_twin_trains_as_the_masked_dense_module_does(which):
    module = made(which)
    dense = copy.deepcopy(module)
    twin = sparse_training(module, layers="all")
    assert any(isinstance(child, SparseLayer) for child in twin.modules())
    ours, theirs = losses(twin, STEPS), losses(dense, STEPS)
    # Both round every sum differently, which training lets grow; at larger rates a rounding may turn a ReLU over.
    assert max(abs(one - two) for one, two in zip(ours, theirs, strict=True)) < 1e-4
    back = to_dense(twin)
    assert back is module
    x, _ = next(batches(1))
    for mode in (True, False):
        torch.testing.assert_close(back.train(mode)(x), dense.train(mode)(x), rtol=1e-2, atol=1e-2)  # 200 steps later


@pytest.mark.parametrize("which", NETWORKS)
def test_names_shapes_and_values_of_the_state_are_those_of_the_original(which):
    module = made(which)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    twin = sparse_training(module, layers="all")
    state = twin.state_dict()
    assert list(state) == list(before)
    assert all(torch.equal(state[name], before[name]) for name in before)
    losses(twin, 3)
    trained = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    assert {name for name in before if not torch.equal(trained[name], before[name])} >= {
        name for name, parameter in module.named_parameters() if parameter.ndim > 1
    }
    back = to_dense(twin).state_dict()
    assert all(torch.equal(back[name], trained[name]) for name in before)
    twin.load_state_dict(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in twin.state_dict().items())


@pytest.mark.parametrize("which", NETWORKS)
def test_outputs_are_those_of_the_dense_module_in_both_modes(which):
    module = made(which)
    twin = sparse_training(module, layers="all")
    for mode in (False, True):
        for x, _ in batches(2, size=7):
            ours, theirs = twin.train(mode)(x), copy.deepcopy(module).train(mode)(x)
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)  # some dozens of float32 layers


def test_skips_of_both_kinds_have_their_twins():
    for kind, twin_class in (("n2n", SparseN2NSkip), ("residual", LaidOutResSkip)):
        module = pruned(kind)
        twin = sparse_training(module, layers="all")
        assert any(isinstance(child, twin_class) for child in twin.modules())
        assert not any(type(child) is N2NSkip for child in twin.modules())


def test_an_optimizer_sees_kept_values_only():
    module = made("chain")
    masks = masks_of(module)
    twin = sparse_training(module, layers="all")
    assert sum(p.numel() for name, p in twin.named_parameters() if name.endswith("values")) == masks.kept
    assert not any(name.endswith("weight") and p.ndim > 1 for name, p in twin.named_parameters())


def test_a_chain_stays_in_the_layout_and_fuses_its_relus():
    twin = sparse_training(made("chain"), layers="all")
    laid_out = []
    for child in twin:
        child.register_forward_hook(lambda _m, _i, out: laid_out.append(is_laid_out(out)))
    twin(next(batches(1))[0])
    assert all(laid_out)
    twin, alone = sparse_training(made("chain"), layers="all"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.ReLU, "forward", lambda relu, x: alone.append(relu) or F.relu(x))
        twin(next(batches(1))[0])
    behind = [type(before) for before, child in pairwise(twin) if type(child) is nn.ReLU]
    assert behind.count(LaidOutBatchNorm) == 3
    assert behind.count(SparseConv) + behind.count(SparseLinear) == 1
    assert not alone


class Parts(nn.Module):
    """A chain inside of a module, which is called as a whole or part by part."""

    def __init__(self):
        super().__init__()
        self.chain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 4, 3))

    def forward(self, x, *, parts=False):
        if not parts:
            return self.chain(x)
        norm = self.chain[:2](x)
        return self.chain[3](self.chain[2](norm.clone())) + norm.mean()


@pytest.mark.parametrize("parts", [False, True])
def test_a_chain_inside_of_a_module_fuses_where_it_is_called_as_a_whole(parts):
    torch.manual_seed(0)
    module, x = Parts(), torch.randn(5, 3, 9, 9)
    apply_masks(module, MaskSet({"chain.0.weight": torch.rand(8, 3, 3, 3) < 0.5}))
    twin, alone = sparse_training(module, layers="all"), []
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        exact = copy.deepcopy(module)(x, parts=parts)
        patch.setattr(nn.ReLU, "forward", lambda relu, x: alone.append(relu) or F.relu(x))
        torch.testing.assert_close(twin(x, parts=parts), exact, rtol=1e-4, atol=1e-5)  # float32 sums
        assert len(alone) == parts
        seen = []
        twin.chain[1].register_forward_hook(lambda _m, _i, out: seen.append(float(out.min())))
        twin(x, parts=parts)
    assert seen[0] < 0  # a hook sees what the BatchNorm alone gives


def test_a_traced_network_fuses_its_relus_where_no_skip_lies_between():
    module = pruned("n2n")
    twin = sparse_training(module, layers="all")
    calls = [node for node in twin.n2n_graph.nodes if node.op == "call_module"]
    relus = sum(type(twin.get_submodule(node.target)) is nn.ReLU for node in calls)
    fused = sum(node.kwargs.get("relu", False) for node in calls)
    assert fused > 0
    assert relus + fused == sum(type(child) is nn.ReLU for child in plain_network())


def test_shared_layers_and_shared_weights_stay_shared():
    twin = sparse_training(made("shared"), layers="all")
    assert isinstance(twin.twice, SparseConv)
    assert twin.one.values is twin.other.values
    assert len([name for name, _ in twin.named_parameters() if name.endswith("values")]) == 3


def test_what_is_not_served_stays_dense_with_its_reason():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
        nn.ConvTranspose2d(4, 4, 2),
        nn.Conv2d(4, 4, 1),
    )
    masks = masks_of(module)
    twin = sparse_training(module, masks, layers="all")
    reasons = {choice.layer: choice.reason for choice in choices_of(twin) if choice.engine == "dense"}
    assert reasons == {
        "0": "padding 'circular' is not served",
        "1": "ConvTranspose2d has no sparse twin",
    }
    assert any(
        "holds it as 'own'" in choice.reason for choice in choices_of(sparse_training(made("shared"), layers="all"))
    )
    x = torch.randn(5, 3, 6, 6)
    torch.testing.assert_close(twin(x), module(x), rtol=1e-4, atol=1e-5)  # four float32 layers
    twin(x).sum().backward()
    assert not module[0].weight.grad[~masks["0.weight"]].any()  # the original's mask holds for what stays dense


def test_the_choice_follows_sizes_density_and_measurement():
    module = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1))
    few, all_of_them = torch.rand(64, 64, 3, 3) < 0.02, torch.ones(64, 64, 3, 3, dtype=torch.bool)
    masks = MaskSet({"0.weight": few, "1.weight": all_of_them})
    example = torch.randn(32, 64, 16, 16)
    for options in ({}, {"example": example}):
        twin = sparse_training(copy.deepcopy(module), masks, **options)
        assert [choice.engine for choice in choices_of(twin)] == ["sparse", "dense"]
        assert isinstance(twin[0], SparseConv)
        assert type(twin[1]) is nn.Conv2d
    measured = choices_of(sparse_training(module, masks, example=example, measure=True))
    assert all(choice.seconds.sparse > 0 and choice.seconds.dense_alone > 0 for choice in measured)
    with pytest.raises(UsageError, match="without an example"):
        sparse_training(module, masks, measure=True)


def noted(into: list[nn.Module], module: nn.Module, _inputs: object, _output: object) -> None:
    into.append(module)


def test_skips_that_run_in_hooks_do_so_in_the_twin():
    for kind, twin_class in (("n2n hooks", SparseN2NSkip), ("residual hooks", LaidOutResSkip)):
        module = pruned(kind)
        twin = sparse_training(module, layers="all")
        assert type(twin) is Plain
        skips = list(twin.n2n_skips.values())
        assert all(isinstance(skip, twin_class) for skip in skips)
        called: list[nn.Module] = []
        note = functools.partial(noted, called)
        for skip in [*skips, *module.n2n_skips.values()]:
            skip.register_forward_hook(note)
        twin(next(batches(1))[0])
        assert called == skips  # its own, and none of the module's


def test_a_users_hook_sees_the_sparse_layer_and_a_method_is_that_of_its_copy():
    class Recorder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.seen = nn.Linear(6, 4), []
            self.layer.register_forward_hook(self.note)

        def note(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            self.seen.append(tuple(layer.weight.shape))
            return output + inputs[0].sum()

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)

    module = Recorder()
    twin = sparse_training(module, {"layer.weight": torch.rand(4, 6) < 0.5}, layers="all")
    x = torch.randn(3, 6)
    torch.testing.assert_close(twin(x), module(x), rtol=1e-5, atol=1e-5)  # six products
    assert isinstance(twin.layer, SparseLinear)
    assert twin.seen == module.seen == [(4, 6)]


def test_layers_are_sparse_by_name_and_modes_are_carried_both_ways():
    module = made("chain")
    module[1].eval()
    twin = sparse_training(module, layers={"3", "15"})
    assert [choice.layer for choice in choices_of(twin) if choice.engine == "sparse"] == ["3", "15"]
    assert [child.training for child in twin] == [child.training for child in module]
    twin.eval()[4].train()
    to_dense(twin)
    assert [index for index, child in enumerate(module) if child.training] == [4]


def test_a_module_that_cannot_be_copied_is_refused_with_the_reason():
    module = made("chain")
    module.lock = threading.Lock()
    with pytest.raises(UsageError, match=r"Sequential cannot be copied, and a sparse twin is a copy: .*lock"):
        sparse_training(module)


def test_a_network_that_loses_with_its_sparse_layers_stays_dense_as_a_whole():
    seconds = {
        "a": Seconds(dense=3.0, dense_alone=1.0, sparse=2.0),
        "b": Seconds(dense=2.0, dense_alone=1.0, sparse=4.0),
    }
    engines: dict[str, Engine] = {"a": "sparse", "b": "dense"}
    choices = [
        LayerChoice(layer=name, engine=engines[name], reason=name, kept=1, density=0.1, seconds=seconds[name])
        for name in ("a", "b")
    ]
    assert [(choice.engine, choice.reason) for choice in whole_network(choices)] == [
        ("dense", "the pruned layers take 2000.00 ms all dense, 4000.00 ms with sparse ones"),
        ("dense", "b"),
    ]
    faster = [replace(choices[0], seconds=Seconds(dense=9.0, dense_alone=9.0, sparse=2.0)), choices[1]]
    assert whole_network(faster) == tuple(faster)
    assert predicted_gain(faster) == 10.0 / 4.0
    unknown = [replace(choices[0], seconds=None), choices[1]]
    assert whole_network(unknown) == tuple(unknown)


def test_layers_that_are_too_small_to_gain_leave_the_module_as_it_is():
    module = made("chain")
    twin = sparse_training(module, example=next(batches(1))[0])
    assert {choice.engine for choice in choices_of(twin)} == {"dense"}
    assert [type(child) for child in twin] == [type(child) for child in module]
    assert all("all dense" in choice.reason or "predicted" in choice.reason for choice in choices_of(twin))


def test_a_new_pattern_reaches_the_original_with_its_mask():
    module = made("chain")
    twin = sparse_training(module, layers="all")
    layer = twin[0]
    other = torch.rand(layer.pattern.shape, generator=torch.Generator().manual_seed(5)) < 0.5
    layer.replace_pattern(SparsePattern.of(other))
    losses(twin, 2)
    to_dense(twin)
    assert not module[0].weight[~other].any()
    losses(module, 2)
    assert not module[0].weight[~other].any()
    assert module[0].weight[other].ne(0).any()


def test_a_single_layer_is_its_own_twin():
    layer = nn.Linear(6, 4)
    mask = torch.rand(4, 6) < 0.5
    twin = sparse_training(layer, {"weight": mask}, layers="all")
    assert isinstance(twin, SparseLinear)
    x = torch.randn(3, 6)
    torch.testing.assert_close(twin(x), layer(x), rtol=1e-5, atol=1e-6)  # six products
    torch.testing.assert_close(twin(x[0]), layer(x[0]), rtol=1e-5, atol=1e-6)


def test_a_copy_of_a_twin_is_a_twin_of_its_own():
    module = made("chain")
    twin = sparse_training(module, layers="all")
    other = copy.deepcopy(twin)
    losses(other, 2)
    assert not torch.equal(other[0].values, twin[0].values)
    back = to_dense(other)
    assert back is not module
    assert torch.equal(back[0].weight, other[0].weight)


def test_a_module_that_is_not_a_twin_is_refused():
    for function in (to_dense, choices_of):
        with pytest.raises(UsageError, match="is not a sparse twin"):
            function(nn.Linear(2, 2))
