"""Figures for files: matplotlib without a display, colours that colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from n2nsurgery.core.files import atomic_file
from n2nsurgery.imports import extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Black and the palette of Okabe and Ito (2008)."""
MARKERS = ("", "o", "s", "^", "D", "v", "x")
_STAMPS = {".png": "Software", ".svg": "Date"}  # left out, so that equal figures are equal files


@contextmanager
def figure_file(path: Path, *, width: float = 6.4, height: float = 4.2, **options: Any) -> Iterator[Figure]:  # noqa: ANN401 - options of matplotlib's Figure
    """A figure of `width` x `height` inches, which is written to `path` (PNG, SVG) when the block ends well."""
    with extra("report", "a figure"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", **options)
    FigureCanvasAgg(figure)
    yield figure
    with atomic_file(path, overwrite=True) as staging:
        figure.savefig(staging, dpi=160, metadata={_STAMPS[path.suffix]: None})
