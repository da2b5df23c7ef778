"""Skips in hooks: the model keeps its class and forward, and computes what a rewritten copy computes."""

from __future__ import annotations

import copy
import io
import threading

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from n2nsurgery import apply, export_onnx, load
from n2nsurgery.core.errors import InvalidFileError, RunError
from n2nsurgery.graph.tracing.trace import trace
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.surgery.engines.rewritable import require_rewritable
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.planning.route import REWRITE, Boundary


class Basic(nn.Module):
    """A convolution, norm and functional ReLU: its output is an activation that no module of its own returns."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Net(nn.Module):
    """Five blocks in two parts, and a head; it counts its calls, and keeps its norms in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Basic(3)
        self.body = nn.Sequential(*(Basic(6) for _ in range(4)))
        self.head = nn.Linear(6, 4)
        self.calls = 0

    def forward(self, x: Tensor, *, scale: float = 1.0) -> Tensor:
        self.calls += 1
        return self.head(self.body(self.stem(x)).mean((2, 3))) * scale

    def train(self, *mode: bool) -> Net:
        super().train(*mode)
        self.stem.norm.eval()
        return self


@pytest.fixture
def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net()


@pytest.fixture
def hooked(net, images):
    return apply(net, density=0.5, example_inputs=images, engine="hooks")


def test_the_model_keeps_its_class_and_its_state_dict_keys(net, hooked):
    assert type(hooked.module) is Net
    assert hooked.module is not net
    skips = [f"n2n_skips.{index}.weight" for index in range(len(hooked.plan.skips))]
    assert list(hooked.module.state_dict()) == [*net.state_dict(), *skips]
    assert len(skips) == 2


def test_the_containers_output_is_the_source_where_a_function_ends_it(hooked):
    routes = hooked.plan.engine.routes
    assert [str(route.source) for route in routes] == ["output of 'stem'", "output of 'body.0'"]
    assert [str(route.target) for route in routes] == ["output of 'body.2.norm'", "output of 'body.3.norm'"]
    assert [route.scope for route in routes] == ["", "body"]


def test_hooks_and_a_rewritten_copy_compute_the_same_to_the_bit(either, images):
    first, second = (
        apply(either, density=0.5, example_inputs=images, engine=engine) for engine in ("hooks", "rewrite")
    )
    assert first.plan.skips == second.plan.skips
    assert first.masks.fingerprint == second.masks.fingerprint
    for mode in (True, False):
        outputs = [done.module.train(mode)(images) for done in (first, second)]
        assert torch.equal(*outputs)
        gradients = [
            torch.autograd.grad(output.square().sum(), list(done.module.parameters()))
            for output, done in zip(outputs, (first, second), strict=True)
        ]
        assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_what_the_models_own_code_does_still_happens(hooked, images):
    module = hooked.module
    before = module.calls
    assert torch.equal(module.eval()(images, scale=2.0), 2 * module(images))
    assert module.calls == before + 2
    assert not module.train().stem.norm.training


def test_surgery_runs_the_models_code_without_leaving_traces_of_it(net, images):
    state = copy.deepcopy(net.state_dict())
    pruned = apply(net, density=1.0, skip="none", example_inputs=images, engine="auto")
    assert pruned.module.calls == net.calls == 0
    assert all(torch.equal(value, pruned.module.state_dict()[name]) for name, value in state.items())


def test_in_place_the_object_itself_is_pruned(net, images):
    pruned = apply(net, density=0.5, example_inputs=images, engine="hooks", inplace=True)
    assert pruned.module is net
    assert net.n2n_skips is not None


def test_a_deep_copy_has_skips_of_its_own(hooked, images):
    expected = hooked.module.eval()(images)
    twin = copy.deepcopy(hooked.module)
    with torch.no_grad():
        for skip in hooked.module.n2n_skips.values():
            skip.weight.zero_()
    assert torch.equal(twin(images), expected)
    assert not torch.equal(hooked.module(images), expected)


def test_a_pickled_module_comes_back_with_its_skips(hooked, images):
    file = io.BytesIO()
    torch.save(hooked.module, file)
    file.seek(0)
    # Reading pickled classes is what this test is about; the file was written one line above.
    again = torch.load(file, weights_only=False)
    assert torch.equal(again.eval()(images), hooked.module.eval()(images))
    again.n2n_skips["0"].weight.data.zero_()
    assert not torch.equal(again(images), hooked.module(images))


def test_an_artifact_loads_into_a_fresh_model(hooked, images, tmp_path):
    hooked.save(tmp_path / "a")
    again = load(tmp_path / "a", Net())
    assert type(again.module) is Net
    assert again.plan == hooked.plan
    assert torch.equal(again.module.eval()(images), hooked.module.eval()(images))


def test_a_target_without_its_source_is_an_error_that_names_both(hooked, images):
    x = hooked.module.stem(images)
    with pytest.raises(RunError, match=r"its target \(output of 'body.2.norm'\) ran without its source \(output of 's"):
        hooked.module.body(x)


class Dropped(Net):
    """A network that leaves out its stem's norm and activation in training, as LayerDrop does at random."""

    def forward(self, x: Tensor, *, drop: bool = False) -> Tensor:
        x = self.stem.conv(x) if drop else self.stem(x)
        return self.head(self.body(x).mean((2, 3)))


def test_a_skip_adds_nothing_where_its_layer_is_left_out_in_training(images):
    module = apply(Dropped(), density=0.5, example_inputs=images, engine="hooks").module
    with pytest.warns(UserWarning, match=r"target .*body.2.norm.* without its source .*a layer that is left out in"):
        found = module(images, drop=True).sum()
    with torch.no_grad():
        module.n2n_skips["0"].weight.zero_()
    assert torch.equal(module(images, drop=True).sum(), found)
    with pytest.raises(RunError, match="call the model or a module around it, as a whole"):
        module.eval()(images, drop=True)


def test_replicas_of_data_parallel_are_refused(hooked, images):
    replica = hooked.module._replicate_for_data_parallel()
    with pytest.raises(RunError, match="DataParallel runs replicas of the model, and its skips stay with the original"):
        replica(images)
    alone = nn.DataParallel(hooked.module, device_ids=[])  # without a device the module itself is called
    assert torch.equal(alone.eval()(images), hooked.module.eval()(images))


def test_a_part_that_holds_both_ends_runs_alone(net, images):
    pruned = apply(net, density=0.5, example_inputs=images, exclude=["*body.2.*"], engine="auto")
    assert [route.scope for route in pruned.plan.engine.routes] == ["body"]
    module = pruned.module.eval()
    expected = module(images)
    assert torch.equal(module.head(module.body(module.stem(images)).mean((2, 3))), expected)


def scopes_of(module: nn.Module) -> list:
    """The scopes whose hooks hang at `module` or below."""
    hooks = (hook for child in module.modules() for hook in child._forward_pre_hooks.values())
    owners = [getattr(hook, "__self__", None) for hook in hooks]
    return [owner for owner in owners if type(owner).__name__ == "Scope"]


def test_nothing_is_kept_after_a_forward_that_fails(hooked, images):
    handle = hooked.module.head.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hooked.module(images)
    handle.remove()
    assert [scope.frame for scope in scopes_of(hooked.module)] == [None, None]
    assert [scope._frames for scope in scopes_of(hooked.module)] == [{}, {}]


def test_threads_do_not_see_each_others_activations(hooked, images):
    module = hooked.module.eval()
    inputs = [images + number for number in range(4)]
    expected = [module(x) for x in inputs]
    found: dict[int, Tensor] = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: [module(inputs[n]) for _ in range(5)][-1]}))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[number], expected[number]) for number in range(4))


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_model_has_the_gradients_of_one_that_is_not(hooked, images, reentrant):
    module = hooked.module.eval()
    parameters = list(module.parameters())
    images.requires_grad_()
    gradients = []
    for output in (module(images), checkpoint(module, images, use_reentrant=reentrant)):
        module.zero_grad()
        output.square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in parameters])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_torch_export_sees_the_skips(hooked, images):
    module = hooked.module.eval()
    program = torch.export.export(module, (images,), strict=False)
    assert "n2n_skips.0.weight" in program.state_dict
    assert torch.equal(program.module()(images), module(images))


def test_the_exported_file_computes_what_the_hooked_model_computes(hooked, images, tmp_path):
    export_onnx(hooked, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": images.numpy()})
    with torch.no_grad():
        expected = hooked.module.eval()(images)
    # Sums in another order: single precision, a few hundred terms.
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)


def test_torch_compile_takes_the_model_as_one_graph(hooked, images):
    module = hooked.module.eval()
    torch._dynamo.reset()
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    assert torch.equal(compiled(images), module(images))


def test_functional_call_replaces_the_weights_of_skips(hooked, images):
    module = hooked.module.eval()
    zeros = {name: torch.zeros_like(p) if "n2n_skips" in name else p for name, p in module.named_parameters()}
    found = torch.func.functional_call(module, zeros, (images,))
    assert not torch.equal(found, module(images))
    with torch.no_grad():
        for skip in module.n2n_skips.values():
            skip.weight.zero_()
    assert torch.equal(found, module(images))


class Shared(nn.Module):
    """One ReLU that is called after every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(5))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.relu(layer(x))
        return x


def test_calls_of_a_shared_module_are_told_apart():
    pruned = apply(Shared(), density=0.9, example_inputs=torch.ones(2, 8), engine="auto")
    routes = {route.target.module: route.source for route in pruned.plan.engine.routes}
    assert routes == {
        "layers.2": Boundary(module="layers.0", call=0, side="input", position=0),
        "layers.3": Boundary(module="relu", call=0, side="output"),
        "layers.4": Boundary(module="relu", call=1, side="output"),
    }


class Overwriting(nn.Module):
    """The activation of the first layer is doubled in place after the second layer has read it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(5))
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        a = self.relus[0](self.layers[0](x))
        y = self.layers[1](a.clone())
        a.mul_(2)
        for index in range(2, 5):
            y = self.layers[index](self.relus[index - 1](y))
        return y + a


def test_an_activation_that_is_overwritten_later_is_copied():
    x = torch.randn(2, 8, generator=torch.Generator().manual_seed(3))
    options = {"density": 0.9, "example_inputs": x, "include_classifier": True}
    pruned = apply(Overwriting(), engine="hooks", **options)
    assert [route.copies for route in pruned.plan.engine.routes if route.source.module == "relus.0"] == [True]


class Functional(nn.Module):
    """Weights without modules: no value inside has a boundary."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.eye(8) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            x = torch.relu(nn.functional.linear(x, weight))
        return x


def test_a_model_without_boundaries_is_rewritten_and_the_plan_says_why():
    pruned = apply(Functional(), density=0.9, example_inputs=torch.ones(2, 8), engine="auto")
    assert pruned.plan.engine.engine == "rewrite"
    assert pruned.plan.engine.reason.startswith("3 of 3 skips have no route; x -> weights.2: the target")


def test_hooks_that_were_asked_for_leave_out_pairs_without_boundaries():
    pruned = apply(Functional(), density=0.9, example_inputs=torch.ones(2, 8), engine="hooks")
    assert (type(pruned.module), pruned.plan.skips) == (Functional, ())
    assert "neither output nor only input of a module" in {r.reason for r in pruned.plan.refused if r.target}.pop()


class Reversal(torch.autograd.Function):
    """The identity, with the negative gradient."""

    @staticmethod
    def forward(_ctx, x):
        return x * 1.0

    @staticmethod
    def backward(_ctx, gradient):
        return -gradient


class Adversarial(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(8, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(Reversal.apply(self.features(x)))


@pytest.mark.parametrize("engine", ["hooks", "rewrite"])
def test_a_backward_pass_of_its_own_survives(engine):
    net, x = Adversarial(), torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    pruned = apply(net, density=1.0, skip="none", example_inputs=x, engine=engine).module
    gradients = [torch.autograd.grad(module(x).square().sum(), module.features.weight) for module in (net, pruned)]
    assert torch.equal(gradients[0][0], gradients[1][0])
    require_rewritable(net, trace(net, (x,)).module, {"x": x})


def test_a_sequential_root_does_not_run_the_child_that_holds_its_skips(images):
    net, x = nn.Sequential(*[m for _ in range(5) for m in (nn.Linear(6, 6), nn.ReLU())]), images[:, 0, :6, :6]
    first, second = (apply(net, density=0.9, example_inputs=x, engine=engine) for engine in ("hooks", "rewrite"))
    assert len(first.plan.skips) == len(second.plan.skips) > 0
    assert torch.equal(first.module(x), second.module(x))


def test_a_model_of_other_modules_is_refused_when_skips_are_attached(hooked, tmp_path):
    hooked.save(tmp_path / "a")
    other = Net()
    other.body = nn.Sequential(*(Basic(6) for _ in range(3)))
    with pytest.raises(InvalidFileError, match="this model is not the one that was pruned"):
        load(tmp_path / "a", other)


def test_a_plan_without_an_engine_is_one_that_rewrites(hooked):
    document = hooked.plan.to_json()
    del document["engine"]  # of the plan; that of its config is what was asked for
    plan = SurgeryPlan.from_json(document)
    assert plan.engine == REWRITE
    assert "engine" not in plan.to_json()


def test_masks_of_a_hooked_model_hold_in_training(hooked, images):
    module: nn.Module = hooked.module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        module(images).square().sum().backward()
        optimizer.step()
    masks: MaskSet = hooked.masks
    assert all(not module.get_parameter(name).detach()[~mask].any() for name, mask in masks.items())
    assert all(not torch.equal(skip.weight, torch.zeros_like(skip.weight)) for skip in module.n2n_skips.values())
