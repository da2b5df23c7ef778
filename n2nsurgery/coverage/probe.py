"""Tries one model: trace, plan, compare, prune, export; every step as a user's call does it."""

from __future__ import annotations

import logging
import re
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from n2nsurgery.core.errors import CallerError, N2NSurgeryError
from n2nsurgery.coverage import catalogue
from n2nsurgery.coverage.row import CoverageRow
from n2nsurgery.pipelines.deploy.export import export_onnx
from n2nsurgery.pipelines.prune.apply import PruningRun
from n2nsurgery.pipelines.prune.given_model import bundle_of
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.pruned_model import PrunedModel

_CONFIG = SurgeryConfig(density=0.5, engine="auto")
_LONGEST_REASON = 200


@dataclass
class _Found:
    """The row so far."""

    row: CoverageRow
    started: float = field(default_factory=time.process_time)

    def add(self, **more: object) -> None:
        """Fill in further columns."""
        self.row = replace(self.row, **more)  # type: ignore[arg-type]

    def ended(self, **more: object) -> CoverageRow:
        """The row with its time."""
        return replace(self.row, seconds=round(time.process_time() - self.started, 1), **more)  # type: ignore[arg-type]


def probe(name: str, *, export: bool = True) -> CoverageRow:
    """The row of the model called `name`; errors of the model or of ours are rows, too."""
    missing = catalogue.missing_package(name)
    if missing is not None:
        return CoverageRow(name=name, outcome="skipped", reason=f"{missing} is not installed")
    found = _Found(CoverageRow(name=name, outcome="failed"))
    logging.disable(logging.WARNING)  # a row has no place for them
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.default_generator.manual_seed(0)
            module, inputs = catalogue.build(name)
            pruned = _prune(module, inputs, found)
            if export:
                _export(pruned, found)
    except Exception as error:  # noqa: BLE001 - every end of every model is a row
        kind = "" if isinstance(error, N2NSurgeryError) else f"{type(error).__name__}: "
        outcome = "refused" if isinstance(error, CallerError) else "failed"
        if found.row.gates is not None:  # it was pruned, and the export has failed
            outcome = found.row.outcome
        return found.ended(outcome=outcome, reason=_told(f"{kind}{error}"))
    finally:
        logging.disable(logging.NOTSET)
    return found.ended()


def _prune(module: nn.Module, inputs: catalogue.Inputs, found: _Found) -> PrunedModel:
    parameters = sum(each.numel() for each in module.parameters())
    given = dict(inputs) if isinstance(inputs, Mapping) else inputs
    run = PruningRun(bundle_of(module, given, 0), _CONFIG)
    plan = run.plan
    found.add(
        leaves=tuple(f"{leaf.class_name}: {_told(leaf.reason)}" for leaf in run.trace.leaves),
        visible=round(plan.budget.reference / max(1, parameters), 3),
        places=len(plan.skips),
        skip_length=plan.config.skip_length,
        engine=plan.engine.engine,
    )
    if plan.engine.engine == "hooks":
        run.trace = replace(run.trace, inplace=True)  # nobody else has the model, and large ones leave no room for two
    pruned = run.run(None)
    layers = {weight.layer for weight in plan.weights}
    told = dict.fromkeys(each.reason for each in plan.refused if each.target or each.source in layers)
    reasons = [] if plan.skips else [each for each in told if "kept dense" not in each]
    found.add(outcome="served" if plan.skips else "pruned only", gates=True, reason=_told("; ".join(reasons)))
    return pruned


def _export(pruned: PrunedModel, found: _Found) -> None:
    found.add(exported=False)
    with tempfile.TemporaryDirectory() as folder:
        report = export_onnx(pruned, Path(folder) / "model.onnx")
    found.add(exported=True, parity=max((each.difference for each in report.parity), default=0.0))


def _told(message: object) -> str:
    text = re.sub(r"[^\s(]*/(?=[^/\s]+\.py\b)", "", " ".join(str(message).split()))  # where a file lies differs
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."
