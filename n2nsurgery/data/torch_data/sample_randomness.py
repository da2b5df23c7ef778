"""The global random generators, held for each sample of a dataset that draws from them.

Transforms of torchvision and most users' own draw from the global generators of torch, numpy and Python. Here those
hold, while sample i of epoch e is read, a stream derived from (seed, e, i), and are afterwards as they were. So what a
sample looks like does not depend on the samples before it, on workers or on ranks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from n2nsurgery.core.seeds import derive


@contextmanager
def generators_restored() -> Iterator[None]:
    """Inside, the global generators may be changed; outside they are as they were."""
    python, twister = random.getstate(), np.random.get_state(legacy=True)  # noqa: NPY002 - that which others draw from
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(twister)  # noqa: NPY002


def seed_generators(seed: int, epoch: int, index: int) -> None:
    """Put the global generators to the start of the stream of sample `index` in `epoch`; see `generators_restored`."""
    own = derive(seed, "sample", f"epoch {epoch} index {index}")
    torch.default_generator.manual_seed(own)
    random.setstate(random.Random(own).getstate())  # noqa: S311 - nothing is secret here
    np.random.set_state(np.random.RandomState(own % 2**32).get_state(legacy=True))  # noqa: NPY002
