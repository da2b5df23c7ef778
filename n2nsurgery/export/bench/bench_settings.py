"""What is timed and how, in this process or as the argument of another."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from n2nsurgery.export.input_shapes import Shapes, shapes_of
from n2nsurgery.export.ort.bench_inputs import feed_of
from n2nsurgery.export.ort.providers import session
from n2nsurgery.imports import extra

with extra("cpu", "an ONNX Runtime session"):
    import onnxruntime


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """`device` as for `session`; `threads` inside one operator (None: all cores).

    `seconds` to spend on turns, of which there are `rounds` at least. `batch` and `input_shapes` as for `feed_of`.
    """

    device: str = "cpu"
    threads: int | None = 1
    batch: int = 1
    seconds: float = 5.0
    rounds: int = 10
    layers: bool = False
    input_shapes: Shapes = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two: a file, with or without libraries of custom operators."""

    path: Path
    libraries: tuple[Path, ...] = ()


def opened(side: Side, settings: BenchSettings, profile: Path | None = None) -> onnxruntime.InferenceSession:
    """A session of `side`; `profile` and errors are those of `session`."""
    return session(
        side.path, device=settings.device, threads=settings.threads, libraries=side.libraries, profile=profile
    )


def inputs_for(held: onnxruntime.InferenceSession, settings: BenchSettings) -> dict[str, Any]:
    """What the session is run with. Raises the errors of `feed_of`."""
    return feed_of(held, settings.batch, settings.input_shapes)


def as_argument(side: Side, settings: BenchSettings) -> str:
    """Both in one line of JSON."""
    paths = {"path": str(side.path), "libraries": [str(library) for library in side.libraries]}
    return json.dumps({"side": paths, "settings": asdict(settings)})


def from_argument(text: str) -> tuple[Side, BenchSettings]:
    """What `as_argument` wrote."""
    request = json.loads(text)
    side, settings = request["side"], request["settings"]
    return (
        Side(path=Path(side["path"]), libraries=tuple(map(Path, side["libraries"]))),
        BenchSettings(**{**settings, "input_shapes": shapes_of(settings["input_shapes"])}),
    )
