"""Inner activations: the table of what is built, its value at zero, and what is refused."""

import pytest
import torch
from torch.nn import functional as F

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.layers.layer_graph import Nonlinearity
from n2nsurgery.skips.nonlinearity import activation, branch_activation, rejection

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
        (Nonlinearity(name="QuickGELU"), X * torch.sigmoid(1.702 * X)),
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
    assert torch.equal(branch_activation(nonlinearity)(x), expected)
    assert activation(nonlinearity)(torch.zeros(1)).item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["Sigmoid", "Hardsigmoid", "Softplus", "LogSigmoid"])
def test_a_branch_is_exactly_zero_at_zero_though_its_function_is_not(name, dtype):
    branch = branch_activation(Nonlinearity(name=name))
    for shape in ((1,), (7, 5), (3, 4, 9, 9)):
        zeros = torch.zeros(shape, dtype=dtype)
        assert torch.equal(branch(zeros), zeros)
        assert torch.equal(branch(zeros.T if len(shape) == 2 else zeros.flip(0)), zeros.T if len(shape) == 2 else zeros)


@pytest.mark.parametrize(("name", "value"), [("Sigmoid", 0.5), ("Hardsigmoid", 0.5), ("Softplus", 0.6931471805599453)])
def test_elsewhere_a_branch_is_its_function_less_the_value_at_zero(name, value):
    nonlinearity = Nonlinearity(name=name)
    x = X.double()
    # Two float64 computations of values below 8: a few units in the last place.
    expected = activation(nonlinearity)(x) - value
    torch.testing.assert_close(branch_activation(nonlinearity)(x), expected, rtol=0, atol=4e-15)


def test_a_branch_with_prelu_learns_as_many_slopes_as_its_target():
    branch = branch_activation(Nonlinearity(name="PReLU", arguments=(("num_parameters", 3),)))
    assert torch.equal(branch.weight, torch.full((3,), 0.25))
    assert branch.weight.requires_grad
    x = torch.tensor([[-4.0, 2.0, -8.0]])
    assert torch.equal(branch(x), torch.tensor([[-1.0, 2.0, -2.0]]))


@pytest.mark.parametrize(
    ("nonlinearity", "reason"),
    [
        (Nonlinearity(name="RReLU"), "at random"),
        (Nonlinearity(name="Linear"), "not a known pointwise activation"),
        (Nonlinearity(name="ReLU", arguments=(("slope", 0.1),)), "does not take the arguments"),
    ],
)
def test_other_functions_are_refused_with_the_reason(nonlinearity, reason):
    assert reason in (rejection(nonlinearity) or "")
    with pytest.raises(UsageError, match="no inner activation"):
        activation(nonlinearity)
