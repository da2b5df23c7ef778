from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError

import torch

from n2nsurgery import runtime
from n2nsurgery.pipelines.deploy import doctor


def test_the_diagnosis_names_every_device_as_the_device_option_takes_it():
    devices = doctor.run().devices
    assert [device.split(" ")[0] for device in devices] == [
        "cpu",
        *(f"cuda:{i}" for i in range(torch.cuda.device_count())),
    ]


def test_onnx_runtime_offers_the_cpu():
    assert "CPUExecutionProvider" in doctor.run().onnxruntime_providers


def test_what_is_not_there_is_said(monkeypatch):
    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(doctor, "version", absent)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    diagnosis = doctor.run()
    assert set(diagnosis.packages.values()) == {None}
    assert diagnosis.compiler is None


def test_the_compiler_is_the_one_that_cxx_names(monkeypatch, tmp_path):
    compiler = tmp_path / "my-compiler"
    compiler.write_text("#!/bin/sh\necho 'mine 1.0'\necho more\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert doctor.run().compiler == doctor.CompilerInfo(path=str(compiler), version="mine 1.0")


def test_a_sparse_runtime_that_is_not_built_is_said_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv(runtime.LIBRARY_VARIABLE, str(tmp_path / "none.so"))
    found = doctor.run().sparse_runtime
    assert (found.path, found.instruction_set) == (None, None)
    assert "python -m n2nsurgery.runtime.build" in found.problem


def test_a_sparse_runtime_that_does_not_load_keeps_its_path(monkeypatch, tmp_path):
    library = tmp_path / "broken.so"
    library.write_text("no library")
    monkeypatch.setenv(runtime.LIBRARY_VARIABLE, str(library))
    found = doctor.run().sparse_runtime
    assert (found.path, found.instruction_set) == (str(library), None)
    assert "does not load" in found.problem


def test_a_sparse_runtime_that_is_built_names_its_instruction_set(monkeypatch):
    monkeypatch.setattr(runtime, "library_path", lambda: "libn2nsurgery.so")
    monkeypatch.setattr(runtime, "instruction_set", lambda: "avx2")
    assert doctor.run().sparse_runtime == doctor.SparseRuntime(
        path="libn2nsurgery.so", instruction_set="avx2", problem=None
    )
