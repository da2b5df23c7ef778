"""Public names on their first use, and one clear line where an optional package is missing."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import n2nsurgery
from n2nsurgery.core.errors import RunError
from n2nsurgery.imports import EXTRAS, extra, public_names

ROOT = Path(__file__).parents[2]
DOORS = ("n2nsurgery", "n2nsurgery.connectivity", "n2nsurgery.graph", "n2nsurgery.masks")


def without(monkeypatch, package, module):
    """`module` is imported anew, and `package` is not there."""
    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, module, raising=False)


@pytest.mark.parametrize(
    ("module", "package", "message"),
    [
        (
            "n2nsurgery.connectivity.page.render",
            "jinja2",
            r"the page of a report needs jinja2.*'n2nsurgery\[report\]'",
        ),
        (
            "n2nsurgery.export.ort.providers",
            "onnxruntime",
            r"an ONNX Runtime session needs onnxruntime, .*'n2nsurgery\[cpu\]' or pip install 'n2nsurgery\[gpu\]'",
        ),
        ("n2nsurgery.adapters.lightning", "lightning", r"the Lightning callback needs lightning, .*\[lightning\]'"),
        ("n2nsurgery.adapters.transformers", "transformers", r"transformers\.Trainer needs .*\[transformers\]'"),
        ("n2nsurgery.adapters.accelerate", "accelerate", r"a loop of Accelerate needs accelerate, .*\[accelerate\]'"),
    ],
)
def test_a_missing_package_is_told_with_its_extra(monkeypatch, module, package, message):
    without(monkeypatch, package, module)
    with pytest.raises(RunError, match=message):
        importlib.import_module(module)


def test_a_figure_without_matplotlib_is_told_with_the_extra(monkeypatch, tmp_path):
    from n2nsurgery.experiments.paper.figures import figure_file

    without(monkeypatch, "matplotlib", "matplotlib.figure")
    with pytest.raises(RunError, match=r"a figure needs matplotlib, .*'n2nsurgery\[report\]'"), figure_file(tmp_path):
        pass


def test_tensorboard_that_is_missing_is_told_with_the_extra(monkeypatch, tmp_path):
    from n2nsurgery.training.metrics.metrics import tensorboard

    without(monkeypatch, "tensorboard", "torch.utils.tensorboard")
    with pytest.raises(RunError, match=r"the option tensorboard needs tensorboard, .*'n2nsurgery\[tensorboard\]'"):
        tensorboard(tmp_path, 0)


def test_doctor_runs_without_an_onnx_runtime(monkeypatch):
    from n2nsurgery.pipelines.deploy import doctor

    without(monkeypatch, "onnxruntime", "n2nsurgery.export.ort.providers")
    assert doctor.run().onnxruntime_providers == ()


def test_another_failing_import_keeps_its_own_error():
    with pytest.raises(ModuleNotFoundError, match="no_such_package"), extra("timm", "a model of timm"):
        importlib.import_module("no_such_package")


def test_every_extra_of_the_package_is_known():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) == {*EXTRAS, "all"}
    assert set(extras["all"][0].removeprefix("n2nsurgery[").removesuffix("]").split(",")) == {*EXTRAS} - {
        "coverage",
        "cpu",
        "gpu",
    }


@pytest.mark.parametrize("name", DOORS)
def test_a_package_lists_its_public_names_and_each_is_there(name):
    package = importlib.import_module(name)
    assert set(package.__all__) <= set(dir(package))
    assert [each for each in dir(package) if each.startswith("_") or not hasattr(package, each)] == []


def test_what_is_listed_is_what_a_reader_may_use():
    assert {"apply", "load", "masks", "adapters"} <= set(dir(n2nsurgery))
    assert {"Any", "importlib", "warnings", "annotations", "TYPE_CHECKING"} & set(dir(n2nsurgery)) == set()


def test_a_typo_is_told_without_a_search():
    code = (
        "import sys, n2nsurgery\n"
        "before = set(sys.modules)\n"
        "try:\n    n2nsurgery.experiment\n"
        "except AttributeError as error:\n    print(error, sorted(set(sys.modules) - before))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "module 'n2nsurgery' has no attribute 'experiment' []\n"


def test_a_public_name_whose_module_lacks_a_package_raises_that_modules_own_error(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    get, names = public_names("door", {"Thing": "needs_more:Thing"})
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        get("Thing")
    assert names() == ["Thing"]


def test_the_former_name_of_a_pruned_model_is_deprecated():
    with pytest.warns(DeprecationWarning, match=r"n2nsurgery\.Operated is now n2nsurgery\.PrunedModel"):
        assert n2nsurgery.Operated is n2nsurgery.PrunedModel
