"""Real models, end to end: apply, train, save, load, export; each pruned once and freed before the next."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from n2nsurgery import PrunedModel, export_onnx, load
from n2nsurgery.core.outputs import primary_output
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.pipelines.prune.apply import run
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.surgery.planning.config import SurgeryConfig

DENSITY, SKIP_RATIO = 0.05, 0.5

# The smallest samples that leave every stage more than one position; None is the source's own size. Inception's
# auxiliary head pools what 299 pixels leave of an image.
IMAGE = (3, 64, 64)
SAMPLES: dict[str, tuple[int, ...] | None] = {
    "resnet18": IMAGE,
    "resnet50": IMAGE,
    "vgg19": IMAGE,
    "vgg19_bn": IMAGE,
    "alexnet": IMAGE,
    "densenet121": IMAGE,
    "googlenet": IMAGE,
    "inception_v3": None,
    "mobilenet_v2": IMAGE,
    "mobilenet_v3_large": IMAGE,
    "efficientnet_b0": IMAGE,
    "convnext_tiny": IMAGE,
    "regnet_y_400mf": IMAGE,
    "shufflenet_v2_x1_0": IMAGE,
    "squeezenet1_1": IMAGE,
    "mnasnet1_0": IMAGE,
    "swin_t": IMAGE,
    "vit_b_16": IMAGE,
    "fcn_resnet50": IMAGE,
    "r3d_18": (3, 8, 64, 64),
    "cifar-vgg19": None,
    "cifar-resnet50": None,
    "mlp": None,
}

# 143 million weights each. `alexnet` has a head like theirs, and `cifar-vgg19` their convolutions.
SLOW = ("vgg19", "vgg19_bn")

# The first ones' exports alone take as long as those of all the others together; every operation of the rest is in
# another model's export.
COSTLY_EXPORTS = ("densenet121", "inception_v3", "swin_t", *SLOW, "vit_b_16")
REPEATED_EXPORTS = ("resnet18", "cifar-resnet50", "alexnet", "mnasnet1_0", "regnet_y_400mf")
SLOW_EXPORTS = (*COSTLY_EXPORTS, *REPEATED_EXPORTS)

MODELS = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SAMPLES]

# Auxiliary heads, which a file for inference does not hold.
TRAINING_ONLY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}


@dataclass(kw_only=True)
class Case:
    name: str
    pruned: PrunedModel
    folder: Path

    @cached_property
    def loaded(self) -> PrunedModel:
        return load(self.folder)


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_the_disk():
    """Gigabytes are written; what a flush protects from, a loss of power, no test can show."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="module", params=MODELS)
def case(request, tmp_path_factory) -> Iterator[Case]:
    """One model after `apply`, with its artifact on disk."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    asked = ApplyRequest(
        model=name,
        surgery=SurgeryConfig(density=DENSITY, skip_ratio=SKIP_RATIO),
        input_size=SAMPLES[name],
        output=folder / "artifact",
    )
    outcome = run(asked)
    settle(outcome.pruned)
    outcome.pruned.save(outcome.artifact, overwrite=True)
    yield Case(name=name, pruned=outcome.pruned, folder=outcome.artifact)
    shutil.rmtree(folder)
    gc.collect()


@torch.no_grad()
def settle(pruned: PrunedModel) -> None:
    """Let the output depend on the input, as in a network that has been trained a little.

    At its start a deep sparse network in eval mode answers with the bias of its head, and torchvision's vision
    transformer with zero: whoever lost half of it on the way would not be found out.
    """
    module = pruned.module.train()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.momentum = None  # the statistics of one batch, whole
            part.reset_running_stats()
    for name, mask in pruned.masks.items():
        weight = module.get_parameter(name)
        if not weight.any():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * mask)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module(*example(pruned, batch=4))
    module.eval()


def example(pruned: PrunedModel, batch: int = 3) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(batch, *spec.shape[1:], generator=generator) for spec in pruned.plan.inputs)


def outputs(module: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
    with torch.no_grad():
        return primary_output(module.eval()(*inputs))


def test_counts_are_exact(case):
    plan, masks = case.pruned.plan, case.pruned.masks
    reference = sum(weight.numel for weight in plan.weights)
    total = round(DENSITY * reference)
    skips = round(SKIP_RATIO * total)
    kept = {name: int(mask.sum()) for name, mask in masks.items()}
    in_skips = sum(count for name, count in kept.items() if name.startswith("n2n_skips."))
    assert (sum(kept.values()), in_skips) == (total, skips)
    for name, mask in masks.items():
        assert not (case.pruned.module.get_parameter(name).bool() & ~mask).any(), name


def test_the_originals_names_stay_and_all_its_conv_and_linear_weights_are_counted(case):
    dense = resolve_model(case.name, seed=0, input_size=SAMPLES[case.name]).module
    state = case.pruned.module.state_dict()
    assert [name for name in state if not name.startswith("n2n_skips.")] == list(dense.state_dict())
    layers = [part for part in dense.modules() if isinstance(part, nn.modules.conv._ConvNd | nn.Linear)]
    packed = [part.in_proj_weight for part in dense.modules() if isinstance(part, nn.MultiheadAttention)]
    weights = [*(layer.weight for layer in layers), *packed]
    assert case.pruned.plan.budget.reference == sum(weight.numel() for weight in weights)


def test_a_gradient_reaches_every_skip(case):
    module = case.loaded.module.eval()
    primary_output(module(*example(case.pruned))).square().sum().backward()
    skips = {name: weight for name, weight in module.named_parameters() if name.startswith("n2n_skips.")}
    assert skips
    assert [name for name, weight in skips.items() if not weight.grad.any()] == []


def test_what_is_loaded_is_what_was_saved_to_the_bit(case):
    pruned, loaded = case.pruned, case.loaded
    state = pruned.module.state_dict()
    assert list(loaded.module.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.module.state_dict().items())
    assert loaded.masks == pruned.masks
    inputs = example(pruned)
    expected = outputs(pruned.module, inputs)
    assert torch.equal(outputs(loaded.module, inputs), expected)
    assert (expected[0] - expected[1]).abs().max() > 0.01 * expected.abs().max()


@pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW_EXPORTS else ()) for name in SAMPLES],
    indirect=True,
)
def test_onnx_runtime_reproduces_it(case, tmp_path):
    report = export_onnx(case.pruned, tmp_path / "model.onnx")
    inputs = example(case.pruned)
    expected = outputs(case.pruned.module, inputs).numpy()
    session = onnxruntime.InferenceSession(report.path, providers=["CPUExecutionProvider"])
    actual = session.run(None, {name: value.numpy() for name, value in zip(report.inputs, inputs, strict=True)})[0]
    shutil.rmtree(tmp_path)
    # Up to two hundred layers of single-precision sums, in another order and with BatchNorm folded in.
    assert np.abs(actual - expected).max() <= 2e-5 * np.abs(expected).max()
    assert all(name.startswith(TRAINING_ONLY.get(case.name, ())) for name in report.unchecked)
