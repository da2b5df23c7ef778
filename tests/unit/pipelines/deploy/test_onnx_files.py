"""From an artifact to a file and back: export, inspect, verify, bench as the command line calls them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import n2nsurgery
from n2nsurgery import runtime
from n2nsurgery.core.errors import UnknownNameError, UsageError, VerificationError
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.pipelines.deploy import bench, compress, export, sparse_runtime, verify
from n2nsurgery.pipelines.prune import inspect


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pruned multilayer perceptron."""
    pruned = n2nsurgery.apply("mlp", density=0.1, skip="none", skip_ratio=0.0)
    return pruned.save(tmp_path_factory.mktemp("artifact") / "mlp")


@pytest.fixture(scope="module")
def file(artifact: Path) -> Path:
    """Its portable file."""
    return export.run(artifact).report.path


def test_the_file_beside_the_artifact_is_portable_and_verified_against_it(artifact, file):
    assert file == artifact.with_name("mlp.onnx")
    proven = verify.run(file, against=artifact)
    assert proven.masked
    assert proven.unchecked == ()
    assert verify.run(file).weights == proven.weights


def test_inspect_recounts_the_budget(artifact, file):
    found = inspect.run(str(file))
    summary = inspect.run(str(artifact)).to_json()
    assert sum(count for count, _ in found.recounted.values()) == summary["nnz_total"]
    # Both are the same sum of products; only the order of the additions differs.
    assert found.mac_density == pytest.approx(summary["mac_density"], rel=1e-9)


@pytest.mark.parametrize("model", ["mlp", "cifar-tiny-resnet"])
def test_another_artifact_is_not_the_one(file, tmp_path, model):
    other = n2nsurgery.apply(model, density=0.1, skip="none", skip_ratio=0.0, seed=1).save(tmp_path / "other")
    with pytest.raises(VerificationError, match="was made with masks"):
        verify.run(file, against=other)


def test_bench_compares_with_another_file(artifact, file, tmp_path):
    dense = export.run(artifact, tmp_path / "dense.onnx", config=ExportConfig(format="dense")).report
    report = bench.run(file, against=dense.path, seconds=0.01)
    assert report.other is not None
    assert report.model.size < report.other.size
    assert bench.run(file, seconds=0.01).other is None or sparse_runtime.sparse_runtime()


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch", 0), ("threads", -1), ("threads", 99_999_999), ("seconds", 0), ("seconds", math.nan), ("rounds", 0)],
)
def test_bench_refuses_numbers_that_mean_nothing(file, name, value):
    with pytest.raises(UsageError, match=f"{name} is {value}"):
        bench.run(file, **{name: value})


def test_bench_refuses_a_library_that_is_not_there(file, tmp_path):
    with pytest.raises(UsageError, match=r"library is .*no such file"):
        bench.run(file, library=tmp_path / "none.so")


def test_an_unknown_format_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(UnknownNameError, match="portable"):
        export.run(tmp_path / "nowhere", tmp_path / "m.onnx", config=ExportConfig(format="portabel"))


def test_the_sparse_runtime_is_used_where_it_is_built(monkeypatch, tmp_path):
    monkeypatch.setenv(runtime.LIBRARY_VARIABLE, str(tmp_path / "lib.so"))
    with pytest.raises(runtime.LibraryNotBuiltError, match="there is no such file"):
        sparse_runtime.sparse_runtime()
    (tmp_path / "lib.so").touch()
    assert sparse_runtime.sparse_runtime() == (tmp_path / "lib.so",)


def test_without_the_sparse_runtime_files_are_made_all_the_same(monkeypatch):
    monkeypatch.delenv(runtime.LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr("n2nsurgery.runtime.build.LIBRARY_NAME", "none.so")
    assert sparse_runtime.sparse_runtime() == ()


def test_a_library_that_does_not_load_is_no_bug_of_ours(file, tmp_path):
    broken = tmp_path / "broken.so"
    broken.write_text("no library")
    with pytest.raises(runtime.LibraryNotBuiltError, match="does not load"):
        bench.run(file, library=broken)


@pytest.mark.parametrize("name", ["net", "net-d0.05", "net.txt"])
def test_a_file_that_no_command_would_know_as_onnx_is_not_written(tmp_path, name):
    with pytest.raises(UsageError, match=rf"{name}\.onnx"):
        export.run(tmp_path / "nowhere", tmp_path / name)


def test_a_folder_is_no_file_of_weights(tmp_path):
    with pytest.raises(VerificationError, match="n2nsurgery export"):
        compress.compress(tmp_path)
