"""A run's folder: what was asked, what surgery made, and the checkpoints that training left.

    recipe.yaml     the resolved recipe
    run.json        its hash, and the fingerprints of plan and masks; what makes the folder a run's
    surgery/        the artifact before training: plan, record, masks, initial weights
    checkpoints/    of training
    metrics.jsonl   one line for each epoch; the same in metrics.csv
    model.onnx      where the recipe has an export section
    report.html     where it has a report section

A checkpoint's weights with the plan, the record and the masks of surgery/ are an artifact of a trained network. Where
the masks have moved in training, the checkpoint has those of its own; where the skips have faded, it has none.
"""

from __future__ import annotations

from pathlib import Path
from time import sleep

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.sealed_folder import check_sealed
from n2nsurgery.masks.store import unpack
from n2nsurgery.surgery.artifact import Artifact, read
from n2nsurgery.surgery.artifact_files import newest_artifact
from n2nsurgery.surgery.present import at_present, without_skips
from n2nsurgery.training.loop.run import CHECKPOINTS
from n2nsurgery.training.state.checkpoints import Checkpoints, best_checkpoint, state_of, trained_masks, trained_weights
from n2nsurgery.training.state.saved_state import SavedState

RUNS = Path("runs")
ARTIFACTS = Path("exported")
RECIPE = "recipe.yaml"
RUN = "run.json"
SURGERY = "surgery"
MODEL = "model.onnx"
REPORT = "report.html"
_REPLACED = 0.1  # seconds in which a checkpoint that is being replaced is gone


def is_run(folder: Path) -> bool:
    """Whether `folder` is that of a run."""
    return (folder / RUN).is_file()


def content_of(folder: Path, *, last: bool = False) -> Artifact:
    """The artifact in `folder`; of a run the one with its best weights, or with `last` its newest.

    A run may be training: where a checkpoint goes while it is read, one of those that are there then is taken. Raises
    InvalidFileError, naming the file, for whatever is missing or wrong.
    """
    if not is_run(folder):
        if (folder / CHECKPOINTS).is_dir():
            raise InvalidFileError(
                f"'{folder}' is the training of a module that was not pruned, so it holds no artifact; `weights()` of "
                "what `n2nsurgery.train` returned are its weights"
            )
        return read(folder)
    store = Checkpoints(folder / CHECKPOINTS)
    while True:
        names = store.names()
        try:
            return _trained(folder, last=last)
        except (FileNotFoundError, InvalidFileError):
            sleep(_REPLACED)
            if store.names() == names:
                raise


def _trained(folder: Path, *, last: bool) -> Artifact:
    """The artifact of the run in `folder`."""
    checkpoint = newest_checkpoint(folder) if last else best_checkpoint(folder)
    pruned, moved = read(folder / SURGERY), trained_masks(checkpoint)
    masks = pruned.masks if moved is None else unpack(moved, {name: mask.shape for name, mask in pruned.masks.items()})
    plan, record = at_present(pruned.plan, pruned.record, masks)
    state = dict(trained_weights(checkpoint))
    if plan.skips and skips_have_faded(checkpoint):
        plan, record, masks, state = without_skips(plan, record, masks, state)
    return Artifact(folder=checkpoint, plan=plan, record=record, masks=masks, state=state)


def skips_have_faded(checkpoint: Path) -> bool:
    """Whether nothing was left of the skips when this checkpoint was written."""
    state = SavedState.from_json(state_of(checkpoint), f"'{checkpoint}'")
    config, batches = state.identity.config, state.identity.batches
    steps = config.epochs * -(-batches // config.accumulate)
    return config.skip_fade is not None and config.skip_fade.strength(state.position.step, steps) == 0


def newest_checkpoint(run: Path) -> Path:
    """The newest checkpoint of a run that is whole; InvalidFileError where there is none."""
    store = Checkpoints(run / CHECKPOINTS)
    reasons: list[str] = []
    for name in reversed(store.names()):
        try:
            check_sealed(store.folder / name, "checkpoint")
        except InvalidFileError as error:
            reasons.append(f"\n  passed over: {error}")
        else:
            return store.folder / name
    raise InvalidFileError(f"'{run}' holds no checkpoint that is whole{''.join(reasons)}")


def newest_result() -> Path:
    """The artifact in `exported/` or the run in `runs/` that was written to last; InvalidFileError where none is."""
    found = _runs()
    try:
        artifact = newest_artifact(ARTIFACTS)
    except InvalidFileError:
        if not found:
            raise
    else:
        found.append(((artifact / "manifest.json").stat().st_mtime_ns, artifact))
    return max(found)[1]


def newest_run() -> Path:
    """The run in `runs/` whose newest checkpoint was written last; InvalidFileError where there is none."""
    found = _runs()
    if not found:
        raise InvalidFileError(f"no trained run in '{RUNS}'; make one with `n2nsurgery train` or name its folder")
    return max(found)[1]


def _runs() -> list[tuple[int, Path]]:
    """The runs with a checkpoint, each with the time at which its newest was written."""
    found: list[tuple[int, Path]] = []
    for run in RUNS.glob(f"[!.]*/{RUN}"):
        stamps = [path.stat().st_mtime_ns for path in (run.parent / CHECKPOINTS).glob("e*/manifest.json")]
        found += [(max(stamps), run.parent)] if stamps else []
    return found
