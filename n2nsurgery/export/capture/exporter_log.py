"""The exporter's chatter goes to our log, at level DEBUG, instead of the terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOG = logging.getLogger(__name__)
_CHATTY = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class _ToOurLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _LOG.debug("%s: %s", record.name, record.getMessage())


@contextmanager
def exporter_messages_logged() -> Iterator[None]:
    """While active, warnings and log records of torch's exporter and onnxscript are ours to show or not."""
    handler = _ToOurLog()
    loggers = [logging.getLogger(name) for name in _CHATTY]
    propagated = [logger.propagate for logger in loggers]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for logger in loggers:
            logger.addHandler(handler)
            logger.propagate = False
        try:
            yield
        finally:
            for logger, propagate in zip(loggers, propagated, strict=True):
                logger.removeHandler(handler)
                logger.propagate = propagate
            for warning in caught:
                _LOG.debug("%s: %s", warning.category.__name__, warning.message)
