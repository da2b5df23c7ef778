"""Channel graphs of real models: every weight is called, and the dense form is the dense model's graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import scipy.sparse as sp

import n2nsurgery
from n2nsurgery.connectivity import channel_graph
from n2nsurgery.export.capture.capture import capture
from n2nsurgery.export.channels.network import channels_of
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of
from n2nsurgery.pipelines.deploy.export import examples

pytestmark = pytest.mark.slow

IMAGE = (3, 64, 64)
# The smallest samples that leave every stage more than one position; None is the source's own size.
SAMPLES: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("resnet18", "resnet50", "vgg19_bn", "alexnet", "densenet121", "googlenet", "mobilenet_v2"), IMAGE),
    **dict.fromkeys(("mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "regnet_y_400mf"), IMAGE),
    **dict.fromkeys(("shufflenet_v2_x1_0", "squeezenet1_1", "mnasnet1_0", "swin_t", "vit_b_16"), IMAGE),
    "inception_v3": None,
    "fcn_resnet50": IMAGE,
    "r3d_18": (3, 8, 64, 64),
    "cifar-vgg19": None,
    "cifar-resnet50": None,
    "mlp": None,
}
# Auxiliary heads, which only training calls.
TRAINING_ONLY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
IN_FILES = ("resnet50", "cifar-vgg19", "mobilenet_v3_large", "swin_t", "vit_b_16", "densenet121")


def array(matrix) -> np.ndarray:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def pruned_of(name: str) -> n2nsurgery.PrunedModel:
    bundle = resolve_model(name, seed=0, input_size=SAMPLES[name])
    return n2nsurgery.apply(bundle.module, density=0.05, skip_ratio=0.5, example_inputs=bundle.example_inputs)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_channels_of_a_model_are_followed_everywhere(name):
    pruned = pruned_of(name)
    found = subject_of(pruned)
    uncalled = pruned.masks.keys() - {call.weight for call in found.flow.calls}
    assert all(weight.startswith(TRAINING_ONLY.get(name, ())) for weight in uncalled)
    assert not any("not followed" in note for note in found.notes)
    dense = subject_of(name, input_size=SAMPLES[name])
    assert found.dense.groups == dense.graph.groups
    assert [block.name for block in found.dense.blocks] == [block.name for block in dense.graph.blocks]
    assert found.dense.edges == dense.graph.edges


@pytest.mark.parametrize("name", IN_FILES)
def test_a_file_tells_the_same(name):
    pruned = pruned_of(name)
    inputs = pruned.plan.inputs
    model = capture(pruned.module.eval(), examples(inputs), [spec.name for spec in inputs]).model
    ours, file = subject_of(pruned).graph, channel_graph(channels_of(ir.to_proto(model)))
    assert file.groups == ours.groups
    for one, other in zip(ours.blocks, file.blocks, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.sources, other.sources)
        np.testing.assert_array_equal(one.targets, other.targets)
        drawn = array(one.weights) > 0  # torchvision starts some layers at zero, which a file takes for pruned
        np.testing.assert_array_equal(array(one.kept)[drawn], array(other.kept)[drawn])
        # BatchNorm is folded in single precision, which rounds each weight to seven digits.
        np.testing.assert_allclose(array(one.weights), array(other.weights), rtol=1e-6)
