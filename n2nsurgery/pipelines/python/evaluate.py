"""n2nsurgery.evaluate: the loss and the metrics of a network from Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack

from torch import nn

from n2nsurgery.core.config.signature import keywords_of, require_known
from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.data.torch_data.sources import BatchOptions, batches_of
from n2nsurgery.pipelines.python.parts import Metrics, measure_of_caller, require_unused
from n2nsurgery.pipelines.saved.load import load
from n2nsurgery.pipelines.training.evaluate import run as evaluate_saved
from n2nsurgery.pipelines.training.evaluate_request import EvaluationOptions, EvaluationRequest
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.device import choose_device
from n2nsurgery.training.config.task import TaskName
from n2nsurgery.training.loop.components import LossFunction, OwnParts, components_of
from n2nsurgery.training.loop.evaluation import evaluate as evaluate_network
from n2nsurgery.training.metrics.record import EvaluationRecord, evaluation_record


@keywords_of(EvaluationRequest, EvaluationOptions)
def evaluate(  # noqa: PLR0913 - what a caller may bring
    model: PrunedModel | nn.Module | str | Path,
    data: Any = None,  # noqa: ANN401 - a dataset, a DataLoader, an iterable, or a name
    *,
    task: TaskName = "classification",
    loss: LossFunction | None = None,
    metrics: Metrics | None = None,
    amp: Literal["off", "bf16", "fp16"] = "off",
    collate: Callable[[list[Any]], Any] | None = None,
    workers: int = 0,
    **options: Unpack[EvaluationOptions],
) -> EvaluationRecord:
    """The loss and the metrics of `model` in eval mode over one pass of `data`; the modes of its modules come back.

    `model`: a pruned model, a module, or the folder of an artifact or a run. `data`, `loss`, `metrics`, `collate`,
    `workers` as for `train`. For a folder, `data` may be the name of a data set, or left out for the run's own: `split`
    of it is evaluated by the run's task, and `task`, `loss`, `metrics`, `amp`, `collate` and `workers` are refused. A
    module is moved to `device`. `options`: the fields of EvaluationRequest; those of data by name are refused where the
    data is an object. Raises UsageError where there is no sample or no data, and the errors of `load`.

        n2nsurgery.evaluate(pruned, dataset, task="segmentation").value("mean-iou")
    """
    require_known(options, EvaluationOptions, "evaluate")
    asked = EvaluationRequest(folder=Path(model) if isinstance(model, str | Path) else Path(), **options)
    if isinstance(model, str | Path) and (data is None or isinstance(data, str)):
        require_unused("a folder is evaluated on named data by the task of its run", loss=loss, metrics=metrics,
                       collate=collate, workers=workers, amp=amp != "off", task=task != "classification")  # fmt: skip
        return evaluate_saved(replace(asked, data=data)).scores
    require_unused("data that is given as an object is read as it is", download=asked.download,
                   data_root=asked.data_root)  # fmt: skip
    if isinstance(model, str | Path):
        model = load(model, allow_import=asked.allow_import, last=asked.last)
    module = model.module if isinstance(model, PrunedModel) else model
    config = TrainConfig(task=task, device=asked.device, seed=asked.seed or 0)
    own = OwnParts(loss=loss, measure=measure_of_caller(metrics, alone=loss is not None))
    batches = BatchOptions(batch_size=asked.batch_size, seed=config.seed, collate=collate, workers=workers)
    place = choose_device(asked.device)
    score = evaluate_network(
        module.to(place),
        batches_of(data, asked.split, batches, training=False),
        components_of(config, own),
        processes=SingleProcess(device=place),
        amp=amp,
    )
    return evaluation_record(asked.split, score)
