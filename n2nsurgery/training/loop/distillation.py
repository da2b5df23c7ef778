"""Distillation: a dense teacher's outputs as further targets.

    L = (1 - w) L_task + w T^2 KL(softmax(t / T) || softmax(s / T))

with the student's scores s, the teacher's t, the temperature T and the weight w. T^2 keeps the size of the gradient
independent of T. Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import call, primary_output, tensors_in
from n2nsurgery.training.config.distillation import DistillationConfig


class Teacher:
    """A network whose scores a student learns from; it is in eval mode and learns nothing itself."""

    def __init__(self, network: nn.Module, config: DistillationConfig) -> None:
        self.network = network.eval().requires_grad_(False)
        self._config = config

    @torch.no_grad()
    def scores(self, inputs: Any) -> Tensor:  # noqa: ANN401 - a tensor, or several
        """The teacher's scores (N, classes, ...) for a batch of `inputs` on its device.

        Raises UsageError where it cannot be called with the inputs of the student.
        """
        try:
            return primary_output(call(self.network, inputs)).float()
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors_in(inputs))
            raise UsageError(
                f"the teacher, {type(self.network).__name__}, fails on inputs of shape {shapes}, which the student is"
                f" given: {error}. Choose a teacher for the same inputs"
            ) from error

    def loss(self, task: Tensor, outputs: Any, scores: Tensor) -> Tensor:  # noqa: ANN401
        """The loss of the equation above, from the task's loss and the student's `outputs`.

        Raises UsageError where student and teacher give scores of different shapes, or none of classes.
        """
        student, temperature, weight = primary_output(outputs), self._config.temperature, self._config.weight
        if student.shape != scores.shape or student.ndim < 2:  # noqa: PLR2004 - N, classes
            raise UsageError(
                f"the teacher gives scores of shape {tuple(scores.shape)}, the student of {tuple(student.shape)}: "
                "distillation compares scores (N, classes, ...) of the same classes; choose a teacher that gives them"
            )
        own, given = (functional.log_softmax(each / temperature, 1) for each in (student, scores))
        divergence = functional.kl_div(own, given, reduction="none", log_target=True).sum(1).mean()
        return (1 - weight) * task + weight * temperature**2 * divergence
