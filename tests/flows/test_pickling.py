"""A pruned module in the hands of pickle: torch.save by the user, and another process that reads the file."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import n2nsurgery

READ = """
import sys, torch
for module, inputs, outputs in zip(*[iter(sys.argv[1:])] * 3):
    torch.save(torch.load(module, weights_only=False)(torch.load(inputs)).detach(), outputs)
"""


class Net(nn.Module):
    """Two paths through the network in train mode, one in eval mode."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(12, 12), nn.ReLU())])
        self.drop, self.head, self.aux = nn.Dropout(0.5), nn.Linear(12, 3), nn.Linear(12, 3)

    def forward(self, x):
        hidden = self.drop(self.layers(x))
        return (self.head(hidden), self.aux(hidden)) if self.training else self.head(hidden)


def pruned_network(engine="hooks"):
    inputs = torch.zeros(2, 12)
    return n2nsurgery.apply(Net(), density=0.4, criterion="magnitude", example_inputs=inputs, engine=engine)


def pickled(module):
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def test_another_process_computes_the_same_with_a_module_that_was_saved_whole(tmp_path):
    inputs = torch.randn(5, 12)
    torch.save(inputs, tmp_path / "inputs.pt")
    networks = {engine: pruned_network(engine) for engine in ("hooks", "rewrite")}
    paths = []
    for engine, pruned in networks.items():
        assert pruned.plan.skips
        torch.save(pruned.module.eval(), tmp_path / f"{engine}.pt")
        paths += [tmp_path / name for name in (f"{engine}.pt", "inputs.pt", f"{engine}-outputs.pt")]
    # With hooks the class of the model is the user's own, which the other process has to be able to import.
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{READ}"
    subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True)
    for engine, pruned in networks.items():
        # The same kernels on the same processor: to the bit.
        assert torch.equal(torch.load(tmp_path / f"{engine}-outputs.pt"), pruned.module(inputs))


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_its_graphs_and_their_addresses_come_along(training):
    module = pruned_network("rewrite").module.train(training)
    twin = pickled(module)
    assert twin.training is training
    assert len(twin.n2n_graphs) == 2
    assert [str(graph) for graph in twin.n2n_graphs] == [str(graph) for graph in module.n2n_graphs]
    addresses = [[node.meta.get("address") for node in graph.nodes] for graph in (module.n2n_graph, twin.n2n_graph)]
    assert addresses[0] == addresses[1]
    assert isinstance(twin(torch.zeros(2, 12)), tuple) is training


def test_skips_in_hooks_come_along():
    module = pruned_network().module.eval()
    twin = pickled(module)
    inputs = torch.randn(5, 12)
    assert type(twin) is Net
    assert torch.equal(twin(inputs), module(inputs))
    for skip in twin.n2n_skips.children():
        nn.init.zeros_(skip.weight)
    assert not torch.equal(twin(inputs), module(inputs))


def test_pruned_weights_stay_zero_in_training_after_pickling():
    pruned = pruned_network()
    twin = pickled(pruned.module)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    before = twin.head.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        twin.eval()(torch.randn(8, 12)).square().sum().backward()
        optimizer.step()
    assert not torch.equal(twin.head.weight, before)
    for name, mask in pruned.masks.items():
        assert not twin.get_parameter(name).detach()[~mask].any(), name


def test_six_hundred_layers_need_no_deeper_stack():
    layers = [module for _ in range(300) for module in (nn.Linear(2, 2), nn.ReLU())]
    module = n2nsurgery.apply(
        nn.Sequential(*layers), density=0.9, skip="none", criterion="magnitude", example_inputs=torch.zeros(1, 2)
    ).module.eval()
    inputs = torch.randn(3, 2)
    assert torch.equal(pickled(module)(inputs), module(inputs))
