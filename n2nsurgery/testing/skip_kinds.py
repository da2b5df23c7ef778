"""What every skip kind promises; see `n2nsurgery.skips.kind` for the protocol."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.graph.layers.layer_graph import LayerPair, Nonlinearity, Signal
from n2nsurgery.skips.alignment import plan_alignment
from n2nsurgery.skips.kind import SkipKind, SkipOptions
from n2nsurgery.skips.spec import SkipSpec
from n2nsurgery.testing.verdict import expect, instance, is_a_frozen_value, keeps_all


def _pair(source: tuple[int, ...], target: tuple[int, ...], *, last: tuple[bool, bool] = (False, False)) -> LayerPair:
    signals = [
        Signal(address=address, shape=shape, layout="channels_last" if is_last else "channels_first")
        for address, shape, is_last in zip(("a", "z"), (source, target), last, strict=True)
    ]
    return LayerPair(
        source="a",
        target="z",
        source_signal=signals[0],
        target_signal=signals[1],
        length=3,
        nonlinearity=Nonlinearity(name="ReLU"),
    )


# Pairs and kernels: one to three dimensions, pooled, cropped and upsampled, vectors, tokens, mixed layouts.
PAIRS = {
    "1d": (_pair((3, 8), (5, 8)), (3,)),
    "2d pooled and cropped": (_pair((3, 11, 8), (5, 4, 4)), (3, 3)),
    "2d upsampled": (_pair((5, 4, 4), (3, 8, 9)), (1, 1)),
    "3d": (_pair((3, 2, 4, 4), (5, 2, 2, 2)), (3, 3, 3)),
    "conv to linear": (_pair((3, 4, 4), (5,), last=(False, True)), ()),
    "linear": (_pair((3,), (5,), last=(True, True)), ()),
    "tokens": (_pair((7, 5), (7, 3), last=(True, True)), ()),
    "channels last": (_pair((8, 8, 3), (4, 4, 5), last=(True, True)), ()),
    "last to first": (_pair((4, 4, 3), (5, 4, 4), last=(True, False)), (7, 7)),
    "first to last": (_pair((3, 4, 4), (4, 4, 5), last=(False, True)), ()),
}


def check_skip_kind(kind: SkipKind | type[Any]) -> None:
    """Return where `kind`, an instance or a class with defaults, keeps the promises of a skip kind.

    It is tried between signals of one to three dimensions, of equal and of different sizes, channels first and last;
    pairs that it refuses with a reason are left out, and at least one has to be accepted. Raises AssertionError that
    names the first promise that is broken.
    """
    keeps_all(instance(kind), SKIP_KIND_CHECKS)


def accepts_some_pair_and_gives_a_reason_for_the_others(kind: SkipKind) -> None:
    """None, or a sentence."""
    verdicts = {name: kind.accepts(pair, SkipOptions()) for name, (pair, _) in PAIRS.items()}
    for name, reason in verdicts.items():
        expect(reason is None or (isinstance(reason, str) and bool(reason)), f"answers {reason!r} to the pair '{name}'")
    expect(None in verdicts.values(), f"accepts none of the pairs {', '.join(PAIRS)}")


def has_one_parameter_called_weight_or_none(kind: SkipKind) -> None:
    """`weight`, of the shape that the kind states, and zero; BatchNorm beside it where it is asked for."""
    for name, spec in specs(kind):
        module = kind.build(spec)
        named = {key: tuple(p.shape) for key, p in module.named_parameters() if not key.startswith("norm.")}
        wanted = {} if spec.weight_shape is None else {"weight": spec.weight_shape}
        expect(named == wanted, f"has the parameters {named} at '{name}'; its weight_shape says {wanted}")
        zero = all(not bool(p.any()) for key, p in module.named_parameters() if key == "weight")
        expect(zero, f"builds a weight at '{name}' that is not zero; surgery sets its values")


def changes_nothing_with_zero_weights(kind: SkipKind) -> None:
    """Of kinds with weights: `forward(z, a)` is z, so that a skip without weights changes nothing."""
    for name, spec in specs(kind):
        z, a = signals(spec)
        if spec.weight_shape is not None:
            same = torch.equal(kind.build(spec).eval()(z, a), z)
            expect(same, f"gives something else than z at '{name}' while its weight is zero")


def keeps_the_shape_of_z_and_both_inputs(kind: SkipKind) -> None:
    """With normalization too."""
    for name, spec in specs(kind, norm=True):
        z, a = signals(spec)
        before = (z.clone(), a.clone())
        out = weighted(kind, spec)(z, a)
        expect(out.shape == z.shape, f"gives shape {tuple(out.shape)} at '{name}'; z has {tuple(z.shape)}")
        expect(torch.equal(z, before[0]) and torch.equal(a, before[1]), f"changes one of its inputs at '{name}'")


def follows_the_dtype_of_the_model(kind: SkipKind) -> None:
    """Double, bfloat16 and half precision."""
    for name, spec in specs(kind, norm=True):
        for dtype in (torch.float64, torch.bfloat16, torch.float16):
            out = weighted(kind, spec).to(dtype)(*signals(spec, dtype=dtype))
            finite = out.dtype == dtype and bool(out.isfinite().all())
            expect(finite, f"gives {out.dtype} or numbers that are not finite for {dtype} at '{name}'")


def leads_gradients_to_every_weight_and_the_source(kind: SkipKind) -> None:
    """A positive source and positive weights keep ReLU open, so that a gradient of zero is a broken path."""
    for name, spec in specs(kind):
        module = weighted(kind, spec)
        z, a = signals(spec)
        a = a.abs().requires_grad_()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.abs_()
        named = dict(module.named_parameters())
        slope, *slopes = torch.autograd.grad(module(z, a).sum(), [a, *named.values()], materialize_grads=True)
        expect(bool((slope != 0).any()), f"leads no gradient to the source at '{name}'")
        for key, each in zip(named, slopes, strict=True):
            expect(bool((each != 0).all()), f"leads no gradient to a part of '{key}' at '{name}'")


def computes_the_same_as_its_copy(kind: SkipKind) -> None:
    """`copy.deepcopy`, as averaging and export make one."""
    for name, spec in specs(kind):
        module = weighted(kind, spec)
        expect(
            torch.equal(copy.deepcopy(module)(*signals(spec)), module(*signals(spec))), f"differs in a copy at '{name}'"
        )


def exports_with_a_free_batch(kind: SkipKind) -> None:
    """`torch.export`, run with another batch size than it was traced with."""
    batch = torch.export.Dim("batch")
    for name, spec in specs(kind, norm=True):
        module = weighted(kind, spec).eval()
        try:
            program = torch.export.export(module, signals(spec), dynamic_shapes=({0: batch}, {0: batch}), strict=False)
        except Exception as error:
            raise AssertionError(f"cannot be exported by torch.export at '{name}': {error}") from error
        five = signals(spec, batch=5)
        expect(torch.equal(program.module()(*five), module(*five)), f"differs in an exported program at '{name}'")


def specs(kind: SkipKind, *, norm: bool = False) -> Iterator[tuple[str, SkipSpec]]:
    """A spec for every pair that `kind` accepts, by the pair's name."""
    for name, (pair, kernel) in PAIRS.items():
        align = plan_alignment(pair.source_signal, pair.target_signal)
        if kind.accepts(pair, SkipOptions()) is not None or isinstance(align, str):
            continue
        shape = kind.weight_shape(pair, kernel)
        weighted = shape is not None
        yield (
            name,
            SkipSpec(
                name="n2n_skips.0",
                kind="checked",
                pair=pair,
                align=align,
                kernel=kernel if weighted else (),
                weight_shape=shape,
                norm=norm and weighted,
            ),
        )


def weighted(kind: SkipKind, spec: SkipSpec) -> nn.Module:
    """The module of `spec` with normal weights, the same each time."""
    module = kind.build(spec)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name == "weight":
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def signals(spec: SkipSpec, *, batch: int = 2, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Z and a for `spec`, the same each time."""
    generator = torch.Generator().manual_seed(1)
    shapes = (spec.pair.target_signal.shape, spec.pair.source_signal.shape)
    z, a = (torch.randn(batch, *shape, generator=generator).to(dtype) for shape in shapes)
    return z, a


SKIP_KIND_CHECKS: tuple[Callable[[SkipKind], None], ...] = (
    is_a_frozen_value,
    accepts_some_pair_and_gives_a_reason_for_the_others,
    has_one_parameter_called_weight_or_none,
    changes_nothing_with_zero_weights,
    keeps_the_shape_of_z_and_both_inputs,
    follows_the_dtype_of_the_model,
    leads_gradients_to_every_weight_and_the_source,
    computes_the_same_as_its_copy,
    exports_with_a_free_batch,
)
