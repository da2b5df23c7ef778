"""Sessions with the sparse runtime, under a chosen instruction set; tests are skipped where it is not built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
from instruction_sets import instruction_sets
from sparse_node import Node

SessionMaker = Callable[..., onnxruntime.InferenceSession]


@pytest.fixture(params=instruction_sets())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set that this machine runs, in turn; kernels made meanwhile use it."""
    monkeypatch.setenv("N2NSURGERY_ISA", request.param)
    return request.param


@pytest.fixture
def make_session(library: Path) -> SessionMaker:
    """Makes a session of a model or node with the library registered."""

    def make(model: bytes | Node, threads: int = 1) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait let others work
        options.register_custom_ops_library(str(library))
        serialised = model.model() if isinstance(model, Node) else model
        return onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])

    return make
