"""Where the time goes: the median time of every node that ONNX Runtime runs after its own optimizations."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from n2nsurgery.export.bench.bench_settings import BenchSettings, Side, inputs_for, opened

_RUNS = 12
_WARM_UP = 2
_SUFFIX = "_kernel_time"


@dataclass(frozen=True, kw_only=True)
class LayerTime:
    """A node by its name and operator, with the median of its times in seconds."""

    name: str
    operator: str
    seconds: float


def layer_times(side: Side, settings: BenchSettings) -> tuple[LayerTime, ...]:
    """The LayerTime of every node, in the order in which they run; the profile's own cost is part of the times."""
    with tempfile.TemporaryDirectory(prefix="n2nsurgery-") as folder:
        held = opened(side, settings, profile=Path(folder) / "profile")
        feed = inputs_for(held, settings)
        for _ in range(_WARM_UP + _RUNS):
            held.run(None, feed)
        events = json.loads(Path(held.end_profiling()).read_text(encoding="utf-8"))
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX):
            times[event["name"].removesuffix(_SUFFIX), event["args"]["op_name"]].append(event["dur"] / 1e6)
    return tuple(
        LayerTime(name=name, operator=operator, seconds=median(found[-_RUNS:]))
        for (name, operator), found in times.items()
    )
