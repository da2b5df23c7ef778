"""The global random generators during a run: seeded from the run's seed, saved and restored, and given back at its end.

Dropout draws from torch's generator; transforms may draw from Python's and numpy's. Each process has streams of its
own. States are tensors of fixed shapes: a 32-bit word is exact in a float64.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.seeds import derive

_WORDS = 624  # of the Mersenne Twister, which both Python and numpy's global generator are


@contextmanager
def own_randomness(seed: int, device: torch.device, rank: int) -> Iterator[None]:
    """Inside, the global generators hold streams derived from (seed, rank); outside they are as they were."""
    before = random.getstate(), np.random.get_state(legacy=True)  # noqa: NPY002 - the generator that others draw from
    name = f"rank {rank}"
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(derive(seed, "training", name))
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(derive(seed, "training on cuda", name))
        random.setstate(random.Random(derive(seed, "python", name)).getstate())  # noqa: S311 - nothing is secret here
        words = np.random.RandomState(derive(seed, "numpy", name) % 2**32)
        np.random.set_state(words.get_state(legacy=True))  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of every global generator that a run on `device` may draw from."""
    state = {"torch": torch.random.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    _, words, gauss = random.getstate()
    state["python"] = torch.tensor([*words, gauss is not None, gauss or 0.0], dtype=torch.float64)
    twister: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    _, keys, *rest = twister
    state["numpy"] = torch.tensor([*keys.tolist(), *rest], dtype=torch.float64)
    return state


def restore_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Put every global generator into a state that `random_state` gave; one it lacks stays as it is."""
    torch.random.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    *words, drawn, gauss = state["python"].tolist()
    random.setstate((3, tuple(map(int, words)), gauss if drawn else None))
    keys = state["numpy"].tolist()
    position, drawn, gauss = keys[_WORDS:]
    np.random.set_state(("MT19937", np.array(keys[:_WORDS], dtype=np.uint32), int(position), int(drawn), gauss))  # noqa: NPY002
