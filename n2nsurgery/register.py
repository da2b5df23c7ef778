"""Decorators that add what is yours to a registry, for a notebook or a module named with `--plugin`.

    @n2nsurgery.register.criterion("my-score")
    @dataclass(frozen=True, kw_only=True)
    class MyScore: ...

From then on `my-score` is a name like the built-in ones, in this process. An installed package makes its names known
to every process by entry points instead, in the groups named below.

    decorator          entry point group               what it offers (a Protocol)
    criterion          n2nsurgery.criteria             masks.criterion.Criterion
    allocation         n2nsurgery.allocations          masks.allocations.Allocation
    granularity        n2nsurgery.granularities        masks.granularities.Granularity
    skip_kind          n2nsurgery.skip_kinds           skips.kind.SkipKind
    family             n2nsurgery.families             models.family.Family
    data_set           n2nsurgery.data_sets            data.registry.DataSet
    metric             n2nsurgery.metrics              connectivity.measures.measurement.Metric
    loss               n2nsurgery.losses               training.losses.Loss
    optimizer          n2nsurgery.optimizers           training.optimizers.Optimizer
    schedule           n2nsurgery.schedules            training.schedules.Schedule
    dynamics           n2nsurgery.dynamics             training.dynamics.Dynamics
    training_metric    n2nsurgery.training_metrics     training.training_metrics.TrainingMetric

`n2nsurgery.testing.check_criterion` and its like tell whether a member keeps the promises of its Protocol.
Each takes the name and raises UsageError where it is taken; see `core.registry.Registry.register`.
"""

from __future__ import annotations

from n2nsurgery.registries import (
    ALLOCATIONS,
    CRITERIA,
    DATA_SETS,
    DYNAMICS,
    FAMILIES,
    GRANULARITIES,
    LOSSES,
    METRICS,
    OPTIMIZERS,
    SCHEDULES,
    SKIP_KINDS,
    TRAINING_METRICS,
)

criterion = CRITERIA.register
allocation = ALLOCATIONS.register
granularity = GRANULARITIES.register
skip_kind = SKIP_KINDS.register
family = FAMILIES.register
data_set = DATA_SETS.register
metric = METRICS.register
loss = LOSSES.register
optimizer = OPTIMIZERS.register
schedule = SCHEDULES.register
dynamics = DYNAMICS.register
training_metric = TRAINING_METRICS.register

__all__ = [
    "allocation",
    "criterion",
    "data_set",
    "dynamics",
    "family",
    "granularity",
    "loss",
    "metric",
    "optimizer",
    "schedule",
    "skip_kind",
    "training_metric",
]
