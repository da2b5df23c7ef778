"""The same channel graph from torch and from every kind of file, and from every way to name a network."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor, nn

import n2nsurgery
from n2nsurgery import PrunedModel
from n2nsurgery.connectivity import ChannelGraph, GraphOptions, Origin
from n2nsurgery.connectivity.paths.reach import connections
from n2nsurgery.core.errors import UnknownNameError, UsageError, VerificationError
from n2nsurgery.export.capture.capture import capture
from n2nsurgery.export.compaction.channel_folding import compact
from n2nsurgery.export.files import metadata
from n2nsurgery.export.files.onnx_file import ModelFiles, write
from n2nsurgery.export.formats import apply_form
from n2nsurgery.export.sparse.weight_coding import codings, rounded
from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of
from n2nsurgery.pipelines.deploy.export import examples
from n2nsurgery.surgery.summary import summary

WIDTH = 32


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(WIDTH)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))) + x)


class Residual(nn.Module):
    """A stem, three basic blocks and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU())
        self.blocks = nn.Sequential(*(Block() for _ in range(3)))
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Branches(nn.Module):
    """Concatenation, a depthwise layer, a channel shuffle, a gate, a written-out activation and flattened maps."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.right = nn.Conv2d(3, WIDTH, 1)
        self.depthwise = nn.Conv2d(2 * WIDTH, 2 * WIDTH, 3, padding=1, groups=2 * WIDTH)
        self.norm = nn.BatchNorm2d(2 * WIDTH)
        self.gate = nn.Conv2d(2 * WIDTH, 2 * WIDTH, 1)
        self.grouped = nn.Conv2d(2 * WIDTH, WIDTH, 1, groups=4)
        self.head = nn.Linear(WIDTH * 16, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(torch.cat([torch.relu(self.left(x)), torch.nn.functional.silu(self.right(x))], 1))
        y = torch.relu(self.norm(y))
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        y = y.unflatten(1, (2, WIDTH)).transpose(1, 2).flatten(1, 2)
        return self.head(torch.nn.functional.avg_pool2d(self.grouped(y), 2).flatten(1))


def pruned_of(build, shape, **options) -> PrunedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build()
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.uniform_(part.running_var, 0.5, 1.5)
    return without_zeros(n2nsurgery.apply(model, example_inputs=torch.zeros(2, *shape), **{"density": 0.1} | options))


def without_zeros(pruned: PrunedModel) -> PrunedModel:
    """The same, where chance has drawn a kept weight of value zero: a file cannot tell it from a pruned one."""
    for name, mask in pruned.masks.items():
        weight = pruned.module.get_parameter(name)
        weight.data = torch.where(mask & (weight == 0), 0.01, weight)
    return pruned


class Files:
    """The files of one network in any form, as an export writes them, but for its proofs."""

    def __init__(self, pruned: PrunedModel, folder: Path) -> None:
        inputs = pruned.plan.inputs
        self.captured = ir.to_proto(
            capture(pruned.module.eval(), examples(inputs), [spec.name for spec in inputs]).model
        )
        self.summary = summary(pruned.plan, pruned.masks, pruned.record)
        self.folder = folder

    def write(self, form: str, values: str = "fp32", *, compacted: bool = False) -> Path:
        model = ir.from_proto(self.captured)
        if compacted:
            assert compact(model.graph).removed
        decided = tuple(codings(model.graph, None if form == "dense" else values))
        rounded(decided)
        model = apply_form(model, form, decided)
        model.metadata_props[metadata.KEY] = metadata.encode({"summary": self.summary})
        path = self.folder / f"{form}-{values}.onnx"
        write(model, ModelFiles(model=path))
        return path


@pytest.fixture(scope="module")
def networks() -> dict[str, PrunedModel]:
    return {
        "mlp": without_zeros(n2nsurgery.apply("mlp", density=0.02)),
        "residual": pruned_of(Residual, (3, 8, 8)),
        "branches": pruned_of(Branches, (3, 8, 8)),
    }


@pytest.fixture(scope="module")
def files(networks, tmp_path_factory) -> dict[str, Files]:
    return {name: Files(pruned, tmp_path_factory.mktemp(name)) for name, pruned in networks.items()}


def array(matrix) -> np.ndarray:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def differences(first: ChannelGraph, second: ChannelGraph, tolerance: float) -> list[str]:
    """In what two graphs differ: structure and counts exactly, conductances by a relative `tolerance`."""
    found = [what for what in ("groups", "nodes") if getattr(first, what) != getattr(second, what)]
    ends = ("sources", "sinks")
    found += [what for what in ends if not np.array_equal(getattr(first, what), getattr(second, what))]
    if [block.name for block in first.blocks] != [block.name for block in second.blocks]:
        return [*found, "blocks"]
    for one, other in zip(first.blocks, second.blocks, strict=True):
        same = [np.array_equal(getattr(one, end), getattr(other, end)) for end in ("sources", "targets")]
        same += [one.size == other.size, sp.issparse(one.kept) == sp.issparse(other.kept)]
        if not all(same) or not np.array_equal(array(one.kept), array(other.kept)):
            found.append(one.name)
        elif not np.allclose(array(one.weights), array(other.weights), rtol=tolerance, atol=0):
            found.append(f"{one.name}: conductances")
    return found


# fp32: BatchNorm is folded in single precision, which rounds each weight to seven digits. fp16 has eleven bits, of
# numbers that are no smaller than 6e-5.
TOLERANCES = {"fp32": 1e-6, "fp16": 1e-3}


@pytest.mark.parametrize("name", ["mlp", "residual", "branches"])
@pytest.mark.parametrize("form", ["dense", "portable", "inlined"])
def test_a_file_alone_gives_the_graph_that_torch_gives(networks, files, name, form):
    ours, file = subject_of(networks[name]), subject_of(files[name].write(form))
    assert differences(ours.graph, file.graph, TOLERANCES["fp32"]) == []
    assert differences(ours.dense, file.dense, TOLERANCES["fp32"]) == []


@pytest.mark.parametrize(("form", "values"), [("portable", "fp16"), ("inlined", "fp16"), ("portable", "int8")])
def test_rounded_values_keep_the_structure(networks, files, form, values):
    ours, file = subject_of(networks["branches"]), subject_of(files["branches"].write(form, values))
    if values == "int8":  # what was rounded to zero is gone
        kept, left = (sum(layer.kept_weights for layer in found.graph.layers) for found in (ours, file))
        assert 0.95 * kept < left <= kept
        assert file.graph.groups == ours.graph.groups
    else:
        assert differences(ours.graph, file.graph, TOLERANCES[values]) == []


def test_a_compact_file_has_fewer_channels_and_can_be_read(tmp_path):
    pruned = n2nsurgery.apply("mlp", density=0.01, skip="none", skip_ratio=0.0)
    pruned.module.get_parameter("layers.2.weight").data[:4] = 0
    ours, file = subject_of(pruned), subject_of(Files(pruned, tmp_path).write("portable", compacted=True))
    assert file.graph.nodes < ours.graph.nodes
    assert [layer.name for layer in file.graph.layers] == [layer.name for layer in ours.graph.layers]


def test_kept_weights_of_value_zero_are_noted(networks, files):
    other = Files(networks["mlp"], files["mlp"].folder)
    other.summary = other.summary | {"layers": [line | {"kept": line["kept"] + 1} for line in other.summary["layers"]]}
    assert any("4 kept weights are exactly zero" in note for note in subject_of(other.write("dense")).notes)


def test_planted_faults_are_differences(networks):
    graph = subject_of(networks["residual"]).graph
    identity = next(block for block in graph.blocks if block.name.endswith(".add"))
    without = dataclasses.replace(graph, blocks=tuple(block for block in graph.blocks if block is not identity))
    assert differences(graph, without, 1e-6) == ["blocks"]
    kept, weights = array(graph.blocks[0].kept).copy(), array(graph.blocks[0].weights).copy()
    kept[tuple(np.argwhere(kept)[0])] = 0
    dropped = dataclasses.replace(graph.blocks[0], kept=kept, weights=np.where(kept, weights, 0))
    faulty = dataclasses.replace(graph, blocks=(dropped, *graph.blocks[1:]))
    assert differences(graph, faulty, 1e-6) == [graph.blocks[0].name]


@pytest.mark.parametrize("name", ["residual", "branches"])
def test_a_path_leads_from_input_to_output_where_the_output_moves_with_the_input(networks, name):
    pruned = networks[name]
    module = pruned.module.eval().double()
    for parameter, mask in pruned.masks.items():  # positive, so that nothing cancels or is cut off
        weight = module.get_parameter(parameter)
        weight.data = torch.where(mask, torch.rand(weight.shape, dtype=torch.float64) + 0.1, 0.0)
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    rows = [torch.autograd.grad(out, x, retain_graph=True)[0] for out in module(x)[0]]
    moves = torch.stack([row[0].abs().sum((1, 2)) for row in rows]).numpy() > 0
    module.float()
    np.testing.assert_array_equal(connections(subject_of(pruned).graph), moves)


def test_every_kind_of_origin_gives_the_same_graph(networks, tmp_path):
    pruned = networks["mlp"]
    folder = pruned.save(tmp_path / "artifact")
    loaded = subject_of(folder)
    assert loaded.origin == Origin(name="artifact", origin=f"artifact {folder}")
    assert differences(subject_of(pruned).graph, loaded.graph, 0) == []
    dense = subject_of("mlp")
    assert dense.origin == Origin(name="mlp", origin="model")
    assert dense.graph.nodes == loaded.graph.nodes
    assert [block.edges for block in dense.graph.blocks] == [block.edges for block in loaded.dense.blocks]
    assert differences(dense.graph, dense.dense, 0) == []


def test_the_layers_are_counted_exactly(networks):
    found = subject_of(networks["residual"])
    kept = {f"{layer.name}.weight": layer.kept_weights for layer in found.graph.layers}
    assert kept == networks["residual"].masks.counts
    assert list(found.skips) == [skip.name for skip in networks["residual"].plan.skips if skip.weight_shape]


@pytest.mark.parametrize("kind", ["n2n", "residual"])
def test_the_dense_form_of_an_operated_network_is_that_of_the_original(kind):
    pruned = pruned_of(Residual, (3, 8, 8), skip=kind)
    assert pruned.plan.skips
    found = subject_of(pruned)
    original = subject_of(Residual(), example_inputs=torch.zeros(2, 3, 8, 8))
    assert found.dense.groups == original.graph.groups
    assert [block.name for block in found.dense.blocks if block.size] == [
        b.name for b in original.graph.blocks if b.size
    ]
    assert found.dense.edges == original.graph.edges


def test_a_plain_file_of_another_tool_is_read(tmp_path):
    network = Branches().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own parts in some versions
        torch.onnx.export(network, (torch.zeros(1, 3, 8, 8),), tmp_path / "plain.onnx", dynamo=True, verbose=False)
    ours = subject_of(network, example_inputs=torch.zeros(2, 3, 8, 8))
    file = subject_of(tmp_path / "plain.onnx")
    assert file.graph.nodes == ours.graph.nodes
    assert file.graph.edges == ours.graph.edges


def test_what_cannot_be_read_is_said_clearly(tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(VerificationError, match="not an ONNX file"):
        subject_of(tmp_path / "text.onnx")
    with pytest.raises(VerificationError, match="there is no file"):
        subject_of(tmp_path / "none.onnx")
    with pytest.raises(UnknownNameError, match="mlp"):
        subject_of("mlpp")
    with pytest.raises(UsageError, match="4,032 nodes"):
        subject_of("mlp", max_nodes=100)


def test_conventions_reach_the_graph(networks):
    plain = subject_of(networks["residual"], options=GraphOptions(conductance="binary", identity="none"))
    assert {float(value) for block in plain.graph.blocks for value in np.unique(array(block.weights))} <= {0.0, 1.0}
    assert all(block.size for block in plain.graph.blocks)


@pytest.mark.parametrize(
    ("name", "nodes", "edges"), [("cifar-vgg19", 5517, 2_229_440), ("resnet50", 23_723, 15_445_184)]
)
def test_known_networks_have_these_channels(name, nodes, edges):
    found = subject_of(name, input_size=(3, 64, 64) if name == "resnet50" else None)
    assert (found.graph.nodes, found.graph.edges) == (nodes, edges)


class Einsum(nn.Module):
    """A layer whose channels are not followed, and one that nothing calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.idle = nn.Linear(8, 16), nn.Linear(8, 8)
        self.weight = nn.Parameter(torch.randn(16, 4))

    def forward(self, x):
        return torch.einsum("bi,io->bo", torch.relu(self.first(x)), self.weight)


def test_weights_that_are_not_followed_are_told_from_those_that_nothing_uses():
    pruned = n2nsurgery.apply(Einsum(), example_inputs=torch.randn(2, 8), density=0.5, skip="none")
    notes = n2nsurgery.report(pruned).notes
    assert any("'weight'. Operations read them whose channels are not followed" in note for note in notes)
    assert ("does not use in eval mode are not in the graph: 'idle.weight'." in " ".join(notes)) == (
        "idle.weight" in pruned.masks
    )
