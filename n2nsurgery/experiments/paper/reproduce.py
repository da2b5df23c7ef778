"""Carry out an experiment and leave its numbers, its page and its figures in a folder."""

from __future__ import annotations

import json
from pathlib import Path

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import write_text
from n2nsurgery.experiments.paper.reproduction import EXPERIMENTS, SCALES, ExperimentConfig, Reproduction, markdown

REPRODUCTIONS = Path("reproductions")


def run(name: str, config: ExperimentConfig) -> Reproduction:
    """The reproduction called `name`; `<name>.json`, `<name>.md` and its figures appear in `config.folder`.

    What an earlier run of the same setting has finished is used again. Raises UnknownNameError with the nearest name,
    UsageError for a setting that cannot be, and the errors of what the experiment does.
    """
    if config.scale not in SCALES:
        raise UsageError(f"scale is '{config.scale}'; it must be one of {', '.join(SCALES)}")
    if config.seeds is not None and config.seeds < 1:
        raise UsageError(f"the number of seeds is {config.seeds}; it must be at least 1")
    experiment = EXPERIMENTS.get(name)()
    if config.only and config.finished:
        raise UsageError("--only says what to train and --finished that nothing is: give one of them")
    if config.only and not experiment.trains:
        raise UsageError(f"--only chooses among trainings, and '{name}' trains nothing: leave it out")
    config.folder.mkdir(parents=True, exist_ok=True)
    found = experiment.run(config)
    write_text(config.folder / f"{found.name}.json", json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n")
    write_text(config.folder / f"{found.name}.md", markdown(found))
    return found
