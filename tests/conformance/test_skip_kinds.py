"""What every skip kind promises, for all members of the registry."""

import copy

import pytest
import torch
from torch import nn

from n2nsurgery.core.errors import UnknownNameError
from n2nsurgery.graph.layers.layer_graph import LayerPair, Nonlinearity, Signal
from n2nsurgery.skips.alignment import plan_alignment
from n2nsurgery.skips.kind import KINDS, SkipOptions, build
from n2nsurgery.skips.spec import SkipSpec


def _signal(layout: str, *shape: int) -> Signal:
    return Signal(address="x", shape=shape, layout=layout)


FIRST, LAST = "channels_first", "channels_last"
PAIRS = {
    "1d": (_signal(FIRST, 3, 8), _signal(FIRST, 5, 8), (3,)),
    "2d pooled and cropped": (_signal(FIRST, 3, 11, 8), _signal(FIRST, 5, 4, 4), (3, 3)),
    "2d upsampled": (_signal(FIRST, 5, 4, 4), _signal(FIRST, 3, 8, 9), (1, 1)),
    "3d": (_signal(FIRST, 3, 2, 4, 4), _signal(FIRST, 5, 2, 2, 2), (3, 3, 3)),
    "conv to linear": (_signal(FIRST, 3, 4, 4), _signal(LAST, 5), ()),
    "linear": (_signal(LAST, 3), _signal(LAST, 5), ()),
    "tokens": (_signal(LAST, 7, 5), _signal(LAST, 7, 3), ()),
    "channels last": (_signal(LAST, 8, 8, 3), _signal(LAST, 4, 4, 5), ()),
    "last to first": (_signal(LAST, 4, 4, 3), _signal(FIRST, 5, 4, 4), (7, 7)),
    "first to last": (_signal(FIRST, 3, 4, 4), _signal(LAST, 4, 4, 5), ()),
}
CASES = [
    pytest.param(kind, source, target, kernel, id=f"{kind}: {name}")
    for kind in KINDS.names()
    for name, (source, target, kernel) in PAIRS.items()
]
every_case = pytest.mark.parametrize(("kind", "source", "target", "kernel"), CASES)


def graft(kind, source, target, kernel, *, norm=False) -> nn.Module:
    """The module of `kind` between the two signals, with random weights."""
    pair = LayerPair(
        source="a",
        target="z",
        source_signal=source,
        target_signal=target,
        length=3,
        nonlinearity=Nonlinearity(name="ReLU"),
    )
    assert KINDS.get(kind)().accepts(pair, SkipOptions()) is None
    weight_shape = KINDS.get(kind)().weight_shape(pair, kernel)
    align = plan_alignment(source, target)
    module = build(
        SkipSpec(
            name="n2n_skips.0",
            kind=kind,
            pair=pair,
            align=align,
            kernel=kernel,
            weight_shape=weight_shape,
            norm=norm and weight_shape is not None,
        )
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name == "weight":
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def tensors(source, target, batch=2, dtype=torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(batch, *target.shape, generator=generator)
    a = torch.randn(batch, *source.shape, generator=generator)
    return z.to(dtype), a.to(dtype)


@every_case
def test_the_result_has_the_shape_of_z_and_neither_input_is_modified(kind, source, target, kernel):
    z, a = tensors(source, target)
    z_before, a_before = z.clone(), a.clone()
    out = graft(kind, source, target, kernel, norm=True)(z, a)
    assert out.shape == z.shape
    assert torch.equal(z, z_before)
    assert torch.equal(a, a_before)


@every_case
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dtype_follows_the_model(kind, source, target, kernel, dtype):
    z, a = tensors(source, target, dtype=dtype)
    out = graft(kind, source, target, kernel, norm=True).to(dtype)(z, a)
    assert out.dtype == dtype
    assert bool(out.isfinite().all())


@every_case
def test_gradients_reach_every_weight_and_the_source(kind, source, target, kernel):
    module = graft(kind, source, target, kernel)
    z, a = tensors(source, target)
    # A positive source and positive weights keep ReLU open, so a gradient of zero can only be a broken path.
    a = a.abs().requires_grad_()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    module(z, a).sum().backward()
    assert bool((a.grad != 0).any())
    for parameter in module.parameters():
        assert bool((parameter.grad != 0).all())


@every_case
def test_a_copy_computes_the_same(kind, source, target, kernel):
    module = graft(kind, source, target, kernel)
    z, a = tensors(source, target)
    assert torch.equal(copy.deepcopy(module)(z, a), module(z, a))


@every_case
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
def test_an_exported_program_keeps_the_batch_free(kind, source, target, kernel, norm):
    module = graft(kind, source, target, kernel, norm=norm).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        module, tensors(source, target), dynamic_shapes={"z": {0: batch}, "a": {0: batch}}, strict=False
    )
    z, a = tensors(source, target, batch=5)
    assert torch.equal(program.module()(z, a), module(z, a))


def test_the_names_of_the_papers_are_aliases():
    assert KINDS.canonical("N2NSkip") == "n2n"
    assert KINDS.canonical("ResSkip") == "residual"


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'residual'"):
        KINDS.get("residuals")
