"""Inner activations: the table of what is built, its value at zero, and what is refused."""

import pytest
import torch
from torch.nn import functional as F

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.layers.layer_graph import Nonlinearity
from n2nsurgery.skips.nonlinearity import activation, at_zero, rejection

X = torch.linspace(-8, 8, 101)


@pytest.mark.parametrize(
    ("nonlinearity", "expected"),
    [
        (Nonlinearity(name="ReLU"), F.relu(X)),
        (Nonlinearity(name="ReLU", arguments=(("inplace", True),)), F.relu(X)),
        (Nonlinearity(name="ReLU6"), F.relu6(X)),
        (Nonlinearity(name="LeakyReLU", arguments=(("negative_slope", 0.3),)), F.leaky_relu(X, 0.3)),
        (Nonlinearity(name="ELU", arguments=(("alpha", 2.0),)), F.elu(X, 2.0)),
        (Nonlinearity(name="SELU"), F.selu(X)),
        (Nonlinearity(name="CELU"), F.celu(X)),
        (Nonlinearity(name="GELU"), F.gelu(X)),
        (Nonlinearity(name="GELU", arguments=(("approximate", "tanh"),)), F.gelu(X, approximate="tanh")),
        (Nonlinearity(name="SiLU"), F.silu(X)),
        (Nonlinearity(name="Mish"), F.mish(X)),
        (Nonlinearity(name="Hardswish"), F.hardswish(X)),
        (Nonlinearity(name="Hardtanh", arguments=(("min_val", -2.0), ("max_val", 3.0))), F.hardtanh(X, -2.0, 3.0)),
        (Nonlinearity(name="Tanh"), torch.tanh(X)),
    ],
    ids=lambda value: value.name if isinstance(value, Nonlinearity) else "",
)
def test_an_activation_is_built_with_its_arguments_and_is_zero_at_zero(nonlinearity, expected):
    x = X.clone()
    assert rejection(nonlinearity) is None
    assert torch.equal(activation(nonlinearity)(x), expected)
    assert torch.equal(x, X)
    assert at_zero(nonlinearity) == 0


@pytest.mark.parametrize(("name", "value"), [("Sigmoid", 0.5), ("Hardsigmoid", 0.5), ("Softplus", 0.6931471805599453)])
def test_the_value_at_zero_is_known_where_it_is_not_zero(name, value):
    # One unit in the last place: log1p and exp are not correctly rounded everywhere.
    assert at_zero(Nonlinearity(name=name)) == pytest.approx(value, rel=2e-16)


@pytest.mark.parametrize(
    ("nonlinearity", "reason"),
    [
        (Nonlinearity(name="PReLU"), "learns its slope"),
        (Nonlinearity(name="RReLU"), "at random"),
        (Nonlinearity(name="Linear"), "not a known pointwise activation"),
        (Nonlinearity(name="ReLU", arguments=(("slope", 0.1),)), "does not take the arguments"),
    ],
)
def test_other_functions_are_refused_with_the_reason(nonlinearity, reason):
    assert reason in (rejection(nonlinearity) or "")
    with pytest.raises(UsageError, match="no inner activation"):
        activation(nonlinearity)
