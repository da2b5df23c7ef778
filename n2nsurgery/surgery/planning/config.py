"""SurgeryConfig: what is asked of one operation, before any model is looked at.

Its fields are the options of `n2nsurgery apply`, the surgery section of a recipe, and the keyword arguments of
`n2nsurgery.apply`. Importing it needs no torch, so a mistyped option is reported before anything slow is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal, Self, Unpack

from n2nsurgery.core.config.members import Scalar
from n2nsurgery.core.config.options import Former, Range, check_options, option
from n2nsurgery.graph.layers.pair_selection import PAPER_LENGTH, PairSelection, Placement, Policy
from n2nsurgery.registries import ALLOCATIONS, CRITERIA, GRANULARITIES, SKIP_KINDS
from n2nsurgery.skips.spec import Pooling
from n2nsurgery.surgery.planning.contradictions import require_consistent
from n2nsurgery.surgery.planning.keywords import SurgeryOptions
from n2nsurgery.surgery.planning.presets import Preset, with_preset

OWN_OPTIONS = ("allocation", "granularity", "scope")
"""Options of a criterion that have a field of their own."""
WITH_OPTIONS = ("criterion", "allocation", "granularity", "skip", "skip_allocation")
"""The fields that name a registered member; its options are in the field of the same name with `_options`."""
_BUDGET, _WHO, _SKIPS, _SCORES = "Budget", "Which weights survive", "Skip connections", "Scores and draws"
_SHARE = Range(above=0, most=1)


def _options(of: str, group: str) -> Any:  # noqa: ANN401 - a field of the config below
    described = option(f"an option of {of}", metavar="NAME=VALUE", group=group)
    return field(default_factory=dict, hash=False, metadata=described)


@dataclass(frozen=True, kw_only=True)
class SurgeryConfig:
    """The request of one operation; the defaults are the best settings known, `from_preset` has the paper's.

    Exactly one of `density` (kept weights over the dense model's prunable weights), `sparsity` and `compression` is
    given; none where `fan_out` and `junction_density` (by layer pattern) say what layers keep and all others stay
    dense. `macs` beside a density is a second budget, of multiply-accumulates: the number of weights stays exact, and
    more of them lie in layers of few positions, as far as it takes; alone, it sets the largest density that it allows.
    `skip_ratio` is the part of the kept weights that goes to skips, or `auto`: one weight for each target channel with
    a one-to-one pattern, half of all with a random one. `skip_length` `auto` is 3, as in the paper, where that fits,
    else the length with most places. `criterion_options`, and `allocation`, `granularity` and `scope` beside them, are
    the criterion's own; None leaves them as it has them.

    Raises UsageError, with the field, for values out of range, unknown or in contradiction.
    """

    density: float | None = field(
        default=None,
        metadata=option("kept fraction of the weights, in (0, 1]", metavar="D", group=_BUDGET, within=_SHARE),
    )
    sparsity: float | None = field(
        default=None,
        metadata=option("the same as a density of 1-S", metavar="S", group=_BUDGET, within=Range(least=0, below=1)),
    )
    compression: float | None = field(
        default=None,
        metadata=option("the same as a density of 1/C", metavar="C", group=_BUDGET, within=Range(least=1)),
    )
    macs: float | None = field(
        default=None,
        metadata=option(
            "kept fraction of the multiply-accumulates, skips included, at most; alone, the density follows",
            metavar="M",
            group=_BUDGET,
            within=_SHARE,
        ),
    )
    fan_out: Mapping[str, int] = field(
        default_factory=dict,
        hash=False,
        metadata=option(
            "connections of every input neuron of a layer", metavar="LAYER=N", group=_BUDGET, within=Range(least=1)
        ),
    )
    junction_density: Mapping[str, float] = field(
        default_factory=dict,
        hash=False,
        metadata=option("kept fraction of one layer", metavar="LAYER=D", group=_BUDGET, within=_SHARE),
    )
    ignore: tuple[str, ...] = field(
        default=(),
        metadata=option("layers left dense", metavar="PATTERN", group=_BUDGET, former=Former(name="keep_dense")),
    )
    floor_layer: int = field(
        default=0,
        metadata=option("keep at least N weights in every layer", metavar="N", group=_BUDGET, within=Range(least=0)),
    )
    floor_channel: int = field(
        default=0,
        metadata=option(
            "keep at least N weights in every output channel", metavar="N", group=_BUDGET, within=Range(least=0)
        ),
    )
    keep_alive: bool = field(
        default=False,
        metadata=option("keep a weight in every layer, and in every output channel as far as it goes", group=_BUDGET),
    )
    redistribute: bool = field(
        default=False, metadata=option("move what does not fit to where there is room", group=_BUDGET)
    )
    criterion: str = field(
        default="random",
        metadata=option("what decides; see the list below", group=_WHO, registry=CRITERIA),
    )
    criterion_options: Mapping[str, Scalar] = _options("the criterion", _WHO)
    allocation: str | None = field(
        default=None,
        metadata=option(
            "how patterns share the budget among layers; random: erk by default",
            group=_WHO,
            registry=ALLOCATIONS,
        ),
    )
    allocation_options: Mapping[str, Scalar] = _options("the allocation", _WHO)
    granularity: str | None = field(
        default=None,
        metadata=option("what is kept or pruned as one", group=_WHO, registry=GRANULARITIES),
    )
    granularity_options: Mapping[str, Scalar] = _options("the granularity", _WHO)
    scope: Literal["global", "layer"] | None = field(default=None, metadata=option("where scores compete", group=_WHO))
    start: Literal["dense", "fan-in", "orthogonal"] = field(
        default="dense",
        metadata=option("values of kept weights before training; not for pretrained weights", group=_WHO),
    )
    skip: str = field(
        default="n2n",
        metadata=option("kind of skip connection", group=_SKIPS, registry=SKIP_KINDS, names=("none",)),
    )
    skip_options: Mapping[str, Scalar] = _options("the kind of skip", _SKIPS)
    skip_ratio: float | Literal["auto"] = field(
        default="auto",
        metadata=option(
            "share of the budget for skips, in [0, 1), or what the pattern needs",
            metavar="R|auto",
            group=_SKIPS,
            within=Range(least=0, below=1),
        ),
    )
    skip_pattern: Literal["one-to-one", "random"] = field(
        default="one-to-one", metadata=option("which channels meet in a skip", group=_SKIPS)
    )
    skip_kernel: Literal["auto", "1", "target"] = field(
        default="auto",
        metadata=option("of skips into convolutions; auto: 1 where that holds the budget, else target", group=_SKIPS),
    )
    skip_allocation: str = field(
        default="uniform",
        metadata=option("how skips share their budget; uniform: by size", group=_SKIPS, registry=ALLOCATIONS),
    )
    skip_allocation_options: Mapping[str, Scalar] = _options("the skips' allocation", _SKIPS)
    skip_norm: Literal["auto", "always", "never"] = field(
        default="auto",
        metadata=option("BatchNorm on the skip; auto: of random patterns beside a shortcut", group=_SKIPS),
    )
    engine: Literal["auto", "hooks", "rewrite"] = field(
        default="auto",
        metadata=option("hooks keep the model's class and forward; rewrite makes a graph of them", group=_SKIPS),
    )
    skip_length: int | Literal["auto"] = field(
        default="auto",
        metadata=option(
            "layers from source to target; auto: 3 where it fits, else where most places are",
            metavar="K|auto",
            group=_SKIPS,
            within=Range(least=2),
        ),
    )
    pairs: Policy = field(default="overlapping", metadata=option("which pairs of layers get a skip", group=_SKIPS))
    num_pairs: int | None = field(
        default=None,
        metadata=option(
            "how many pairs are drawn where pairs are random", metavar="N", group=_SKIPS, within=Range(least=1)
        ),
    )
    skip_placement: Placement = field(
        default="avoid-residual",
        metadata=option(
            "targets whose sum holds a shortcut",
            group=_SKIPS,
            former=Former(name="shortcuts", values={"around": "avoid-residual", "plain": "all"}),
        ),
    )
    include: tuple[str, ...] = field(
        default=(), metadata=option("only skips that touch it", metavar="PATTERN", group=_SKIPS)
    )
    exclude: tuple[str, ...] = field(
        default=(), metadata=option("no skip that touches it", metavar="PATTERN", group=_SKIPS)
    )
    include_classifier: bool = field(
        default=False, metadata=option("output layers may be targets", group=_SKIPS, former=Former(name="heads"))
    )
    pooling: Pooling = field(default="average", metadata=option("how a larger source is brought to size", group=_SKIPS))
    num_candidates: int = field(
        default=1,
        metadata=option(
            "patterns drawn, of which one is selected",
            metavar="N",
            group=_SCORES,
            within=Range(least=1),
            former=Former(name="tries"),
        ),
    )
    select_by: Literal["scatter"] | None = field(
        default=None,
        metadata=option("what the best pattern is", group=_SCORES, former=Former(name="select")),
    )
    draw: int = field(
        default=0,
        metadata=option("which of the seed's patterns is taken", metavar="N", group=_SCORES, within=Range(least=0)),
    )
    batches: int = field(
        default=1,
        metadata=option("batches that scores are computed on", metavar="N", group=_SCORES, within=Range(least=1)),
    )
    batch_size: int = field(
        default=128, metadata=option("samples in each of them", metavar="N", group=_SCORES, within=Range(least=1))
    )
    seed: int = field(
        default=0,
        metadata=option("every random draw derives from it", metavar="N", group=_SCORES, within=Range(least=0)),
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range or in contradiction."""
        check_options(self)
        require_consistent(self, WITH_OPTIONS, OWN_OPTIONS)

    @classmethod
    def from_preset(
        cls, preset: Preset | None = None, *, criterion: str = "random", **changes: Unpack[SurgeryOptions]
    ) -> Self:
        """The config with a preset's values where `changes` has none; raises UsageError as making one does."""
        return cls(**with_preset(preset, {"criterion": criterion, **changes}))

    @property
    def kept(self) -> float | None:
        """The budget as a density in (0, 1], whichever synonym it was asked for in; None: layers say what they keep."""
        if self.density is not None:
            return self.density
        if self.sparsity is not None:
            return float(1 - Decimal(str(self.sparsity)))  # 0.95 is a density of 0.05, not of 0.05000000000000004
        return None if self.compression is None else 1 / self.compression

    @property
    def pair_selection(self) -> PairSelection:
        """Which pairs of layers are wanted, as `select_pairs` takes it; with `auto` at the paper's length."""
        return PairSelection(
            policy=self.pairs,
            length=PAPER_LENGTH if self.skip_length == "auto" else self.skip_length,
            count=self.num_pairs,
            include=self.include,
            exclude=self.exclude,
            include_classifier=self.include_classifier,
            placement=self.skip_placement,
        )

    @property
    def all_criterion_options(self) -> dict[str, Scalar]:
        """The criterion's options, those included that have a field of their own."""
        own = {name: getattr(self, name) for name in OWN_OPTIONS}
        return dict(self.criterion_options) | {name: value for name, value in own.items() if value is not None}

    def canonical(self) -> Self:
        """The same request, spelled in one way: by density, each option of the criterion in one place."""
        options = dict(self.criterion_options)
        own: dict[str, Any] = {name: options.pop(name) for name in OWN_OPTIONS if name in options}
        return replace(self, density=self.kept, sparsity=None, compression=None, criterion_options=options, **own)
