"""The registries: every kind of thing that can be chosen by name, and that a user may add to.

Importing this imports no member and none of the libraries that members need, so that a command line can list names
before anything slow is loaded. What a member of each kind has to offer is the Protocol beside the kind's home.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from n2nsurgery.core.names import leaves
from n2nsurgery.core.registry import Registry

CRITERIA: Registry[Any] = Registry(
    kind="criterion",
    package="n2nsurgery.masks.criteria",
    group="n2nsurgery.criteria",
    aliases={"rp": "random", "csp": "snip"},
)
ALLOCATIONS: Registry[Any] = Registry(
    kind="allocation", package="n2nsurgery.masks.allocations", group="n2nsurgery.allocations"
)
GRANULARITIES: Registry[Any] = Registry(
    kind="granularity", package="n2nsurgery.masks.granularities", group="n2nsurgery.granularities"
)
SKIP_KINDS: Registry[Any] = Registry(
    kind="skip kind",
    package="n2nsurgery.skips.kinds",
    group="n2nsurgery.skip_kinds",
    aliases={"n2nskip": "n2n", "resskip": "residual"},
)
FAMILIES: Registry[Any] = Registry(
    kind="model family", package="n2nsurgery.models.families", group="n2nsurgery.families"
)
DATA_SETS: Registry[Any] = Registry(
    kind="data set",
    package="n2nsurgery.data.sets",
    group="n2nsurgery.data_sets",
    aliases={
        "cifar-10": "cifar10",
        "cifar-100": "cifar100",
        "fashionmnist": "fashion-mnist",
        "image-folder": "imagefolder",
    },
)
METRICS: Registry[Any] = Registry(
    kind="connectivity metric", package="n2nsurgery.connectivity.metrics", group="n2nsurgery.metrics"
)
LOSSES: Registry[Any] = Registry(
    kind="loss", package="n2nsurgery.training.losses", group="n2nsurgery.losses", aliases={"bce": "bce-with-logits"}
)
OPTIMIZERS: Registry[Any] = Registry(
    kind="optimizer", package="n2nsurgery.training.optimizers", group="n2nsurgery.optimizers"
)
SCHEDULES: Registry[Any] = Registry(
    kind="schedule", package="n2nsurgery.training.schedules", group="n2nsurgery.schedules"
)
DYNAMICS: Registry[Any] = Registry(kind="dynamics", package="n2nsurgery.training.dynamics", group="n2nsurgery.dynamics")
TRAINING_METRICS: Registry[Any] = Registry(
    kind="training metric",
    package="n2nsurgery.training.training_metrics",
    group="n2nsurgery.training_metrics",
    aliases={"accuracy": "top1", "map": "mean-average-precision", "miou": "mean-iou"},
)


def names_foreign(values: Mapping[str, Any]) -> bool:
    """Whether a text in the nested mapping, or in a list in it, is the name of a member that is not built in."""
    known = [each for each in globals().values() if isinstance(each, Registry)]
    found = [value for _, value in leaves(values)]
    texts = {str(each) for value in found for each in (value if isinstance(value, list) else [value])}
    return any(registry.is_foreign(name) for registry in known for name in texts.intersection(registry.names()))
