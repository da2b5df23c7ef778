from __future__ import annotations

import errno
import json

import pytest
import torch
from safetensors import SafetensorError

from n2nsurgery.core import sealed_folder
from n2nsurgery.core.errors import InvalidFileError, RunError, UsageError
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.core.sealed_folder import check_sealed, read_document, read_sealed, write_sealed

DOCUMENTS = {"plan": {"seed": 1, "skips": [{"source": "a"}]}, "record": {"nnz": 3}}
FILES = ("masks.safetensors", "model.safetensors", "plan.json", "record.json")


def tensors() -> dict[str, dict[str, torch.Tensor]]:
    weight = torch.arange(6.0).reshape(2, 3)
    model = {"a.weight": weight, "half": torch.ones(3, dtype=torch.bfloat16), "scalar": torch.tensor(7)}
    return {"model": model, "masks": {"a.weight": torch.tensor([0b101], dtype=torch.uint8)}}


@pytest.fixture
def artifact(tmp_path):
    folder = tmp_path / "artifact"
    write_sealed(folder, documents=DOCUMENTS, tensors=tensors())
    return folder


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def reseal(folder, **changes) -> None:
    manifest = {**json.loads((folder / "manifest.json").read_text()), **changes}
    del manifest["sha256"]
    (folder / "manifest.json").write_text(json.dumps({**manifest, "sha256": fingerprint(manifest)}))


def rewrite(folder, name: str, content: bytes) -> None:
    """Replace a file together with its entry in the manifest, as somebody would who builds a hostile artifact."""
    (folder / name).write_bytes(content)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files[name] = {"bytes": len(content), "sha256": sealed_folder.sha256(folder / name)}
    reseal(folder, files=files)


def test_what_was_written_is_read_back_to_the_bit(artifact):
    content = read_sealed(artifact, "artifact")
    assert content.documents == DOCUMENTS
    for name, named in tensors().items():
        assert content.tensor_set(name).keys() == named.keys()
        for key, tensor in named.items():
            assert content.tensor_set(name)[key].dtype == tensor.dtype
            assert torch.equal(content.tensor_set(name)[key], tensor)


def test_an_artifact_is_these_files(artifact):
    assert names(artifact) == sorted((*FILES, "manifest.json"))


def test_the_manifest_is_written_last(tmp_path, monkeypatch):
    present = []
    write_json = sealed_folder._write_json
    monkeypatch.setattr(
        sealed_folder,
        "_write_json",
        lambda path, document: (
            present.append((path.name, names(path.parent))),
            write_json(path, document),
        ),
    )
    write_sealed(tmp_path / "out", documents=DOCUMENTS, tensors=tensors())
    assert present[-1] == ("manifest.json", sorted(FILES))


def test_tied_tensors_are_stored_once_and_come_back_tied(tmp_path):
    weight = torch.randn(100, 100, generator=torch.Generator().manual_seed(0))
    model = {"encoder": weight, "decoder": weight, "part": weight[:2], "transposed": weight.T, "empty": torch.empty(0)}
    write_sealed(tmp_path / "out", documents={}, tensors={"model": model})
    once = weight.nbytes + model["part"].nbytes + model["transposed"].nbytes
    # The header is the only other content; 1,000 bytes are far less than the 40,000 of a second copy.
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < once + 1000
    loaded = read_sealed(tmp_path / "out", "artifact").tensor_set("model")
    assert loaded["encoder"].data_ptr() == loaded["decoder"].data_ptr()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.items())


def test_an_existing_artifact_is_replaced_only_when_asked(artifact):
    with pytest.raises(UsageError, match=r"already exists.*--overwrite"):
        write_sealed(artifact, documents={}, tensors={})
    write_sealed(artifact, documents={"plan": 2}, tensors={}, overwrite=True)
    assert read_sealed(artifact, "artifact").documents == {"plan": 2}


def test_a_folder_that_is_not_an_artifact_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"does not hold a manifest\.json"):
        write_sealed(tmp_path, documents={}, tensors={}, overwrite=True)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(_, path):
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    assert errno.ENOSPC == 28
    monkeypatch.setattr(sealed_folder, "save_file", full)
    with pytest.raises(RunError, match="no space left"):
        write_sealed(tmp_path / "out", documents=DOCUMENTS, tensors=tensors())
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.EDQUOT, "disk quota is used up"), (errno.EIO, "Input/output error"), (errno.ESTALE, "Stale file handle")],
)
def test_errors_of_the_disk_are_recognized_among_the_words_of_the_library(tmp_path, monkeypatch, number, message):
    def fail(_, path):
        path.write_bytes(b"half")
        raise SafetensorError(f"Error while serializing: I/O error: words (os error {number})")

    monkeypatch.setattr(sealed_folder, "save_file", fail)
    with pytest.raises(RunError, match=message):
        write_sealed(tmp_path / "out", documents=DOCUMENTS, tensors=tensors())
    assert names(tmp_path) == []


def test_a_disk_that_fails_in_reading_is_not_a_damaged_file(artifact, monkeypatch):
    def fail(_path):
        raise SafetensorError(f"I/O error: words (os error {errno.EIO})")

    monkeypatch.setattr(sealed_folder, "load_file", fail)
    with pytest.raises(OSError, match="Input/output error"):
        read_sealed(artifact, "artifact")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(artifact, name):
    (artifact / name).unlink()
    with pytest.raises(InvalidFileError, match=f"{name}' is missing"):
        read_sealed(artifact, "artifact")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(artifact, name):
    content = (artifact / name).read_bytes()
    (artifact / name).write_bytes(content[:-1])
    with pytest.raises(InvalidFileError, match=f"{name}' is damaged: it has {len(content) - 1:,} bytes"):
        read_sealed(artifact, "artifact")


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_one_bit_altered_is_named(artifact, name):
    content = bytearray((artifact / name).read_bytes())
    content[len(content) // 2] ^= 1
    (artifact / name).write_bytes(content)
    with pytest.raises(InvalidFileError, match=f"{name}' was altered"):
        read_sealed(artifact, "artifact")


def test_an_altered_manifest_is_refused(artifact):
    text = (artifact / "manifest.json").read_text()
    (artifact / "manifest.json").write_text(text.replace('"aliases"', '"aliased"'))
    with pytest.raises(InvalidFileError, match=r"manifest.json' was altered"):
        read_sealed(artifact, "artifact")


def test_a_newer_schema_is_named_with_its_version(artifact):
    reseal(artifact, schema=99)
    with pytest.raises(InvalidFileError, match=r"manifest.json' has schema 99, written by a newer n2nsurgery"):
        read_sealed(artifact, "artifact")


@pytest.mark.parametrize("content", ["[]", "{}", '{"schema": true}', '{"schema": "1"}', '{"schema": 0}'])
def test_json_that_is_not_a_manifest_is_refused(artifact, content):
    (artifact / "manifest.json").write_text(content)
    with pytest.raises(InvalidFileError, match="names no schema"):
        read_sealed(artifact, "artifact")


@pytest.mark.parametrize(
    "changes",
    [
        {"files": 1},
        {"files": {"plan.json": 1}},
        {"files": {"plan.json": {}}},
        {"aliases": []},
        {"aliases": {"model": 1}},
        {"aliases": {"model": {"b": []}}},
    ],
)
def test_a_manifest_with_other_entries_is_refused(artifact, changes):
    reseal(artifact, **changes)
    with pytest.raises(InvalidFileError, match="entries are not those of schema 1"):
        read_sealed(artifact, "artifact")


@pytest.mark.parametrize(
    "name", ["../plan.json", "/etc/plan.json", "a/b.json", ".hidden.json", "weights.pt", "a.json\n"]
)
def test_a_manifest_cannot_name_files_elsewhere(artifact, name):
    reseal(artifact, files={name: {"bytes": 1, "sha256": ""}})
    with pytest.raises(InvalidFileError, match="only files beside the manifest are read"):
        read_sealed(artifact, "artifact")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"1" * 10_000, "is not JSON"),  # longer than Python converts
        (b"[" * 65 + b"]" * 65, "more than 64 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "more than 64 levels"),
        (b" " * (64 * 2**20 + 1), "at most 67,108,864 are read"),
    ],
)
def test_hostile_json_is_refused(artifact, content, message):
    rewrite(artifact, "plan.json", content)
    with pytest.raises(InvalidFileError, match=message):
        read_sealed(artifact, "artifact")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((2**60).to_bytes(8, "little") + b"{}", "announces a header of"),
        (b"", "is not a safetensors file"),
        ((2).to_bytes(8, "little") + b"no", "is not a safetensors file"),
    ],
)
def test_hostile_tensor_files_are_refused(artifact, content, message):
    rewrite(artifact, "model.safetensors", content)
    with pytest.raises(InvalidFileError, match=message):
        read_sealed(artifact, "artifact")


def test_an_alias_of_nothing_is_refused(artifact):
    reseal(artifact, aliases={"model": {"b": "nothing"}})
    with pytest.raises(InvalidFileError, match="lacks the tensor 'nothing'"):
        read_sealed(artifact, "artifact")


def test_asking_for_what_an_artifact_does_not_hold_names_the_file(artifact):
    content = read_sealed(artifact, "artifact")
    with pytest.raises(InvalidFileError, match=r"teacher.json' is missing"):
        content.document("teacher")
    with pytest.raises(InvalidFileError, match=r"teacher.safetensors' is missing"):
        content.tensor_set("teacher")


@pytest.mark.parametrize(("place", "message"), [("nowhere", "is not a folder"), (".", "has no manifest.json")])
def test_a_place_without_an_artifact_is_said(tmp_path, place, message):
    with pytest.raises(InvalidFileError, match=message):
        read_sealed(tmp_path / place, "artifact")


def test_one_document_is_read_without_hashing_the_rest(artifact):
    flipped = bytearray((artifact / "model.safetensors").read_bytes())
    flipped[-1] ^= 1
    (artifact / "model.safetensors").write_bytes(flipped)
    check_sealed(artifact, "artifact")
    assert read_document(artifact, "artifact", "plan") == DOCUMENTS["plan"]
    with pytest.raises(InvalidFileError, match=r"teacher.json' is missing from the artifact"):
        read_document(artifact, "artifact", "teacher")
    text = (artifact / "plan.json").read_text()
    (artifact / "plan.json").write_text(text.replace("1", "2"))
    with pytest.raises(InvalidFileError, match=r"plan.json' was altered"):
        read_document(artifact, "artifact", "plan")


@pytest.mark.parametrize("damage", ["manifest.json", "model.safetensors"])
def test_a_folder_with_a_file_missing_fails_its_check(artifact, damage):
    (artifact / damage).unlink()
    with pytest.raises(InvalidFileError, match=damage):
        check_sealed(artifact, "checkpoint")
