"""A recipe read and checked as far as that goes without data and without building a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from n2nsurgery.core.errors import RunError
from n2nsurgery.pipelines.training.run_recipe import resolved
from n2nsurgery.pipelines.training.train_request import TrainRequest
from n2nsurgery.recipe.overrides import parse_override
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.recipe.resolve import read_recipe


def check(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The resolved recipe; raises what `read_recipe` raises."""
    return read_recipe(path, [parse_override(text) for text in overrides])


def check_processes(request: TrainRequest, processes: int) -> None:
    """Return where a recipe can be trained in so many processes on this machine, before any of them is started.

    Raises the errors of reading it, UsageError where its batches cannot be shared out, RunError for too few GPUs.
    """
    recipe = resolved(request)
    recipe.train.local_batch(processes)
    if recipe.train.device != "cpu" and torch.cuda.device_count() < processes:
        raise RunError(
            f"--gpus is {processes}, and torch sees {torch.cuda.device_count()} CUDA devices; take fewer, or --device "
            "cpu for as many processes on the CPU"
        )
