"""Networks whose places for skips were not found: transformers, short plain nets, functions with g(0) != 0."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery import apply, inspect


def chain(layers: int, function: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(*[each for _ in range(layers) for each in (nn.Linear(8, 8), function())])


def rotated(x: Tensor) -> Tensor:
    """Rotary positions on the channels."""
    angles = torch.arange(x.shape[1]).outer(torch.ones(8))
    return x * angles.cos() + torch.cat([-x[..., 4:], x[..., :4]], -1) * angles.sin()


class Block(nn.Module):
    """A transformer block with projections of its own, and with rotary positions where they are asked for."""

    def __init__(self, *, rotary: bool = False) -> None:
        super().__init__()
        self.turn = rotated if rotary else lambda x: x
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.out(F.scaled_dot_product_attention(self.turn(self.q(y)), self.turn(self.k(y)), self.v(y)))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def ends(pruned) -> list[tuple[str, str]]:
    return [(skip.pair.source, skip.pair.target) for skip in pruned.plan.skips]


@pytest.mark.parametrize("rotary", [False, True])
def test_a_transformer_has_skips_from_each_mlp_over_the_attention_into_the_next(rotary):
    tokens = torch.randn(2, 5, 8)
    pruned = apply(nn.Sequential(*[Block(rotary=rotary) for _ in range(3)]), example_inputs=tokens, density=0.5)
    assert ends(pruned) == [("0.fc1", "1.fc1"), ("1.fc1", "2.fc1")]
    assert pruned.plan.config.skip_length == 4


def test_out_projections_and_second_layers_are_places_where_shortcuts_do_not_matter():
    tokens = torch.randn(2, 5, 8)
    blocks = nn.Sequential(*[Block() for _ in range(2)])
    seen = inspect(blocks, example_inputs=tokens, skip_placement="all", pairs="all", include_classifier=True)
    assert {(pair.source, pair.target) for pair in seen.pairs} == {
        ("0.fc1", "1.out"), ("0.fc1", "1.fc1"), ("0.fc1", "1.fc2"),
    }  # fmt: skip


@pytest.mark.parametrize("engine", ["hooks", "rewrite"])
def test_the_layers_inside_torchs_own_transformer_are_found(engine):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    net = nn.Sequential(nn.Linear(8, 8), nn.TransformerEncoder(layer, 3))
    tokens = torch.randn(2, 5, 8)
    pruned = apply(net, example_inputs=tokens, density=0.5, engine=engine)
    assert ends(pruned)[1:] == [
        ("1.layers.0.linear1", "1.layers.1.linear1"),
        ("1.layers.1.linear1", "1.layers.2.linear1"),
    ]
    pruned.module.eval()
    with torch.no_grad():  # where torch would take its fused path, which knows no skips
        fused = pruned.module(tokens)
    # The same sums in float32, by other kernels of attention.
    torch.testing.assert_close(fused, pruned.module(tokens), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("layers", "length"), [(3, 2), (4, 3)])
def test_a_short_plain_network_has_a_skip(layers, length):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *chain(0))
    for index in range(layers - 1):
        net.add_module(f"conv{index}", nn.Conv2d(4, 4, 3, padding=1))
        net.add_module(f"relu{index}", nn.ReLU())
    pruned = apply(net, example_inputs=torch.randn(2, 3, 8, 8), density=0.5, skip_ratio=0.3)
    assert pruned.plan.config.skip_length == length
    assert ends(pruned) == [("0", f"conv{layers - 2}")]


@pytest.mark.parametrize("function", [nn.PReLU, lambda: nn.PReLU(8), nn.GELU, nn.SiLU, nn.Sigmoid, nn.Softplus])
def test_every_pointwise_function_gets_skips_that_add_nothing_without_weights(function):
    net, x = chain(4, function), torch.randn(4, 8)
    pruned = apply(net, example_inputs=x, density=1.0, engine="hooks")
    assert ends(pruned) == [("input", "4"), ("0", "6")]
    with torch.no_grad():
        for skip in pruned.module.n2n_skips.values():
            skip.weight.zero_()
        for own, kept in zip(net.parameters(), pruned.module.parameters(), strict=False):
            own.copy_(kept)
    assert torch.equal(pruned.module(x), net(x))


def test_the_slopes_of_a_branch_are_trained_and_saved_beside_its_weights():
    pruned = apply(chain(4, nn.PReLU), example_inputs=torch.randn(4, 8), density=1.0, engine="hooks")
    slopes = [name for name, _ in pruned.module.named_parameters() if name.startswith("n2n_skips") and "inner" in name]
    assert slopes == ["n2n_skips.0.inner.weight", "n2n_skips.1.inner.weight"]
    pruned.module(torch.randn(4, 8)).sum().backward()
    assert all(pruned.module.get_parameter(name).grad.abs().sum() > 0 for name in slopes)
