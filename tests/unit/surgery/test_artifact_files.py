from __future__ import annotations

import os
import shutil

import pytest

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.sealed_folder import write_sealed
from n2nsurgery.surgery.artifact_files import newest_artifact

DOCUMENTS = {"plan": {"seed": 1}, "record": {"nnz": 3}}


def test_the_newest_artifact_is_the_one_finished_last(tmp_path):
    for age, name in enumerate(["z", "m", "a"]):
        write_sealed(tmp_path / name, documents={}, tensors={})
        os.utime(tmp_path / name / "manifest.json", ns=(0, 10**9 * (10 - age)))
    assert newest_artifact(tmp_path) == tmp_path / "z"


def test_the_newest_artifact_passes_over_what_a_killed_run_left(tmp_path):
    write_sealed(tmp_path / "good", documents=DOCUMENTS, tensors={})
    for name in (".staging-1-good", "truncated"):
        shutil.copytree(tmp_path / "good", tmp_path / name)
        os.utime(tmp_path / name / "manifest.json", ns=(0, 2**62))
    (tmp_path / "truncated" / "plan.json").write_text("")
    (tmp_path / "without-manifest").mkdir()
    assert newest_artifact(tmp_path) == tmp_path / "good"


def test_where_no_artifact_is_left_the_reasons_are_given(tmp_path):
    write_sealed(tmp_path / "only", documents=DOCUMENTS, tensors={})
    (tmp_path / "only" / "plan.json").unlink()
    with pytest.raises(InvalidFileError, match=r"no artifact in .*n2nsurgery apply.*\n.*plan.json' is missing"):
        newest_artifact(tmp_path)
    with pytest.raises(InvalidFileError, match="no artifact in"):
        newest_artifact(tmp_path / "nowhere")
