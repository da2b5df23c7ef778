"""Distillation: a dense teacher's outputs as further targets.

    L = (1 - w) L_task + w D

with the weight w and a distance D between the student's scores s and the teacher's t, by what the scores are of:

    one of several classes     D = T^2 KL(softmax(t / T) || softmax(s / T)), the mean over samples and positions
    several labels at once     the same between the two classes true and false of each label, whose scores are s and 0
    values of a regression     D = (s - t)^2, the mean over all values

T is the temperature; T^2 keeps the size of the gradient independent of it. For labels the softmax over (s, 0) is the
sigmoid of s. Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import call, primary_output, tensors_in
from n2nsurgery.core.validation import require
from n2nsurgery.training.config.distillation import DistillationConfig

Scores = Literal["classes", "labels", "values"]
"""What scores are of: one of several classes, several labels at once, or values of a regression."""


class Teacher:
    """A network whose scores a student learns from; it is in eval mode and learns nothing itself."""

    def __init__(self, network: nn.Module, config: DistillationConfig, kind: Scores = "classes") -> None:
        """`kind`: what its scores are of. Raises UsageError for a temperature where scores are not divided by one."""
        divided = kind != "values" or config.temperature == DistillationConfig.temperature
        require(divided, "distillation.temperature", config.temperature, "left out for the values of a regression")
        self.network = network.eval().requires_grad_(False)
        self._config = config
        self._kind = kind

    @torch.no_grad()
    def scores(self, inputs: Any) -> Tensor:  # noqa: ANN401 - a tensor, or several
        """The teacher's scores for a batch of `inputs` on its device.

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

        Raises UsageError where student and teacher give scores of different shapes, or none of two or more classes.
        """
        student, weight = primary_output(outputs), self._config.weight
        if student.shape != scores.shape:
            raise UsageError(
                f"the teacher gives scores of shape {tuple(scores.shape)}, the student of {tuple(student.shape)}: "
                "distillation compares scores of the same classes, labels or values; choose a teacher that gives them"
            )
        return (1 - weight) * task + weight * self._distance(student, scores)

    def _distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        if self._kind == "values":
            return functional.mse_loss(student, teacher)
        if self._kind == "labels":
            student, teacher = (torch.stack([each, torch.zeros_like(each)], 1) for each in (student, teacher))
        if student.ndim < 2 or student.shape[1] < 2:  # noqa: PLR2004 - N, classes
            raise UsageError(
                f"student and teacher give scores of shape {tuple(student.shape)}, of which none are of two or more "
                "classes: set task to multilabel for labels that are true or not, to regression for numbers"
            )
        temperature = self._config.temperature
        own, given = (functional.log_softmax(each / temperature, 1) for each in (student, teacher))
        return temperature**2 * functional.kl_div(own, given, reduction="none", log_target=True).sum(1).mean()
