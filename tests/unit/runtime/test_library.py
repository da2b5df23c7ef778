"""Where the library is, what it says of itself, and how it is built."""

from __future__ import annotations

import shutil

import onnxruntime
import pytest

from n2nsurgery import runtime
from n2nsurgery.runtime import build


def test_a_library_that_is_not_there_is_said_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv(runtime.LIBRARY_VARIABLE, str(tmp_path / "none.so"))
    with pytest.raises(runtime.LibraryNotBuiltError, match=r"python -m n2nsurgery\.runtime\.build"):
        runtime.library_path()


def test_a_file_that_is_not_a_library_is_said_with_what_to_do(monkeypatch, tmp_path):
    file = tmp_path / "broken.so"
    file.write_text("no library")
    monkeypatch.setenv(runtime.LIBRARY_VARIABLE, str(file))
    with pytest.raises(runtime.LibraryNotBuiltError, match="does not load"):
        runtime.instruction_set()
    with pytest.raises(runtime.LibraryNotBuiltError, match="does not load"):
        runtime.register(onnxruntime.SessionOptions())


def test_a_library_is_named_from_the_current_folder(monkeypatch, tmp_path):
    (tmp_path / "lib.so").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(runtime.LIBRARY_VARIABLE, "lib.so")
    assert runtime.library_path() == tmp_path / "lib.so"


@pytest.mark.usefixtures("library")
def test_the_library_tells_which_kernels_it_uses(isa):
    assert runtime.instruction_set() == isa


@pytest.mark.usefixtures("library")
def test_kernels_that_are_not_there_are_not_claimed(monkeypatch):
    monkeypatch.setenv("N2NSURGERY_ISA", "mmx")
    assert runtime.instruction_set() == "none"


def test_a_library_is_kept_as_long_as_its_sources_are_the_same(monkeypatch, tmp_path):
    library = tmp_path / build.LIBRARY_NAME
    library.write_bytes(b"compiled from " + build.source_fingerprint().encode())
    assert build.build_if_changed(tmp_path) == library
    monkeypatch.setattr(build, "COMMON_FLAGS", (*build.COMMON_FLAGS, "-Dother"))
    assert not build.is_up_to_date(library)


def test_every_source_is_part_of_the_fingerprint(monkeypatch, tmp_path):
    native = tmp_path / "native"
    shutil.copytree(build.SOURCES, native)
    monkeypatch.setattr(build, "SOURCES", native)
    before = build.source_fingerprint()
    with (native / "tiling.h").open("a") as file:
        file.write("// other\n")
    assert build.source_fingerprint() != before


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_a_compiler_that_does_not_work_is_named(monkeypatch, compiler):
    monkeypatch.setenv("CXX", compiler)
    with pytest.raises(build.BuildError, match=compiler):
        build.find_compiler()


def test_a_failed_build_leaves_what_was_there(monkeypatch, tmp_path):
    library = tmp_path / build.LIBRARY_NAME
    library.write_bytes(b"older")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build.BuildError):
        build.build_if_changed(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [build.LIBRARY_NAME]
    assert library.read_bytes() == b"older"
