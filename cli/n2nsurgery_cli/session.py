"""A command at work: logs and progress on stderr, stdout kept for the one result."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from n2nsurgery.core.progress import SILENT, Progress


@contextmanager
def session(*, quiet: bool = False, verbose: int = 0) -> Iterator[Progress]:
    """The progress callback for a pipeline; it shows nothing where nobody watches (no terminal, or `quiet`).

    Inside, whatever libraries print goes to stderr: only the result goes to stdout.
    """
    logger = logging.getLogger("n2nsurgery")
    logger.setLevel(logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    try:
        with redirect_stdout(sys.stderr), _watched(quiet=quiet) as progress:
            yield progress
    finally:
        logger.removeHandler(handler)


@contextmanager
def _watched(*, quiet: bool) -> Iterator[Progress]:
    """A bar on stderr that is gone when the work is done; nothing where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield SILENT
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading torch", total=1.0)
        yield lambda stage, done: bar.update(task, description=escape(stage), completed=done)
