"""The methods that the N2NSkip paper compares, each as a request at a density; and ours beside them.

The paper does not say how RP divides the budget among layers: all RP methods take ERK, the best allocation known.
N2NSkip "as in the paper" has half of the kept weights in random skips with the target's kernel, Eq. 2 to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Unpack

from n2nsurgery.core.names import unknown
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.keywords import SurgeryOptions
from n2nsurgery.surgery.planning.presets import Preset
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.config.fading import FadingConfig

DENSE = "dense"
ONE_TO_ONE = "N2NSkip-RP one-to-one"
SENSITIVE = "N2NSkip-CSP one-to-one"
NORMALIZED = "N2NSkip-RP normalized"
TWO_BLOCKS = f"{ONE_TO_ONE}, two blocks"
LONGER_RESIDUAL = "ResSkip-RP, k = 3"
SHORTER = f"{ONE_TO_ONE}, k = 2"
UNIFORM = "RP, uniform"
GRASP = "GraSP"
SYNFLOW = "SynFlow"
GUARDED = "CSP, guarded"
GUARDED_RESIDUAL = "ResSkip-CSP, k = 3, guarded"
GUARDED_ONE_TO_ONE = f"{SENSITIVE}, guarded"
_FADING = ", fading"
RULES: Mapping[str, str] = MappingProxyType({"SET": "set", "ITOP": "itop", "RigL": "rigl", "GMP": "gmp"})
"""Methods whose kept weights move in training, and the dynamics that move them."""
_RESIDUAL_LENGTH = 2  # of a block of ResNets of two convolutions, where Eq. 1 comes from


def with_rule(rule: str, method: str) -> str:
    """The name of `method` with kept weights that `rule`, a key of RULES, moves in training."""
    return rule if method == "RP" else f"{rule}, {method}"


def fading(method: str) -> str:
    """The name of `method` with skips that fade in training."""
    return f"{method}{_FADING}"


def fading_of(method: str) -> FadingConfig | None:
    """When the skips of `method` fade; None where they stay."""
    return FadingConfig() if method.endswith(_FADING) else None


def equal(method: str) -> str:
    """The name of `method` with as many kept weights in every layer as in every other."""
    return f"{method}, equal"


def _random(density: float, /, preset: Preset | None = None, **how: Unpack[SurgeryOptions]) -> SurgeryConfig:
    how["density"] = density
    how.setdefault("allocation", "erk")
    return SurgeryConfig.from_preset(preset, **how)


def _sensitive(density: float, /, preset: Preset | None = None, **how: Unpack[SurgeryOptions]) -> SurgeryConfig:
    how["density"] = density
    return SurgeryConfig.from_preset(preset, criterion="snip", **how)


_METHODS: MappingProxyType[str, Callable[[float], SurgeryConfig]] = MappingProxyType(
    {
        "RP": lambda d: _random(d, skip="none"),
        "N2NSkip-RP": lambda d: _random(d, preset="paper"),
        NORMALIZED: lambda d: _random(
            d, skip_pattern="random", skip_ratio=0.5, skip_kernel="target", skip_placement="two-blocks"
        ),
        ONE_TO_ONE: _random,
        "ResSkip-RP": lambda d: _random(d, skip="residual", skip_length=_RESIDUAL_LENGTH),
        TWO_BLOCKS: lambda d: _random(d, skip_placement="two-blocks"),
        LONGER_RESIDUAL: lambda d: _random(d, skip="residual", skip_length=_RESIDUAL_LENGTH + 1),
        UNIFORM: lambda d: _random(d, allocation="uniform", skip="none"),
        GRASP: lambda d: SurgeryConfig(density=d, criterion="grasp", skip="none"),
        SYNFLOW: lambda d: SurgeryConfig(density=d, criterion="synflow", skip="none"),
        SHORTER: lambda d: _random(d, skip_length=_RESIDUAL_LENGTH),
        equal("RP"): lambda d: _random(d, allocation="equal", skip="none"),
        equal(ONE_TO_ONE): lambda d: _random(d, allocation="equal"),
        equal("ResSkip-RP"): lambda d: _random(d, allocation="equal", skip="residual", skip_length=_RESIDUAL_LENGTH),
        "CSP": lambda d: _sensitive(d, skip="none"),
        GUARDED: lambda d: _sensitive(d, skip="none", keep_alive=True),
        GUARDED_RESIDUAL: lambda d: _sensitive(d, skip="residual", skip_length=_RESIDUAL_LENGTH + 1, keep_alive=True),
        GUARDED_ONE_TO_ONE: lambda d: _sensitive(d, keep_alive=True),
        SENSITIVE: _sensitive,
        "N2NSkip-CSP": lambda d: _sensitive(d, preset="paper"),
        "ResSkip-CSP": lambda d: _sensitive(d, skip="residual", skip_length=_RESIDUAL_LENGTH),
        "RP, kernels": lambda d: _random(d, skip="none", granularity="kernel"),
        "RP, blocks of 4": lambda d: _random(d, skip="none", granularity="block4"),
        f"{ONE_TO_ONE}, kernels": lambda d: _random(d, granularity="kernel"),
        f"{ONE_TO_ONE}, blocks of 4": lambda d: _random(d, granularity="block4"),
    }
)
GRANULAR = ("RP, kernels", "RP, blocks of 4", f"{ONE_TO_ONE}, kernels", f"{ONE_TO_ONE}, blocks of 4")


def surgery_of(method: str, density: float) -> SurgeryConfig | None:
    """What `method` asks for at `density`; None for the dense network. Raises UnknownNameError.

    GMP begins with as many weights as the dense network has, skips included.
    """
    if method == DENSE:
        return None
    rule, base = _parts(method)
    if base not in _METHODS:
        raise unknown("method", method, (*_METHODS, *RULES))
    return _METHODS[base](1.0 if rule == "GMP" else density)


def surgery_left_by(method: str, density: float) -> SurgeryConfig:
    """What asks for a network of the size that a finished run of `method` leaves: pruned to the end, faded skips gone.

    Raises UnknownNameError, and ValueError for the dense network.
    """
    _, base = _parts(method)
    asked = surgery_of(base, density)
    if asked is None:
        raise ValueError(f"{method} is not pruned")
    return replace(asked, skip="none") if method.endswith(_FADING) else asked


def dynamics_of(method: str, density: float) -> DynamicsConfig | None:
    """How the kept weights of `method` move in training; None where they stay."""
    rule, _ = _parts(method)
    if rule is None:
        return None
    return DynamicsConfig(name=RULES[rule], final=density if rule == "GMP" else None)


def _parts(method: str) -> tuple[str | None, str]:
    """The rule in the name of a method, None where there is none, and the method that it is a variant of."""
    whole = method.removesuffix(_FADING)
    first, _, base = whole.partition(", ")
    return (first, base or "RP") if first in RULES else (None, whole)


CONVENTIONS = (
    "Budget: kept conv and linear weights, skips included, over all of the dense network; equal in all methods.",
    "RP: random weights, divided among layers by ERK. CSP: SNIP, one batch of 128 training samples.",
    "N2NSkip: half of the kept weights in random skips l -> l+3 with the target's kernel, Eq. 2 to the letter.",
    "One-to-one: one learnable weight for each target channel, the rest sequential; none into a sum with a shortcut.",
    "Guarded: every layer and channel keeps a weight, at the same number of kept weights.",
    "SET, ITOP, RigL: kept weights move within each layer and skip. GMP: pruned in training from all weights.",
    "Normalized: as the paper's, with BatchNorm on the branch beside identity shortcuts, across two blocks.",
    "ResSkip: Eq. 1, l -> l+2, parameter-free.",
    "Fading: skips lose their strength in the middle half of training; tested is the network without them.",
    "Accuracy: top-1 on test images after the last epoch, mean ± standard deviation over seeds.",
    "Differences: seed by seed, mean [95 % interval by Student's t].",
    "MACs: multiply-accumulates of kept weights for one sample. FLOPs: of dense kernels, pruned weights included.",
)
