"""A sealed folder: JSON documents, tensors in safetensors, and a manifest that vouches for every byte.

    <name>.json                 one JSON document each
    <name>.safetensors          one set of named tensors each
    manifest.json               schema, size and SHA-256 of every file, aliases of shared tensors; written last

Nothing here can run code on loading, and nothing is believed before it is checked: sizes are bounded before anything
is allocated, hashes before anything is parsed. What the documents mean is the business of whoever wrote them:
artifacts (surgery) and checkpoints (train) are such folders; `kind` is the word for them in messages.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.core.files import atomic_folder, require_space, sha256
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.core.version import __version__

SCHEMA = 1
MANIFEST = "manifest.json"

# A manifest may only name files that lie beside it: no separator and no leading dot can get through.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\.(json|safetensors)")
# A plan of the largest torchvision model is about one megabyte; these bounds only stop what was built to exhaust us.
_LARGEST_DOCUMENT = 64 * 2**20
_LARGEST_HEADER = 16 * 2**20
_DEEPEST_DOCUMENT = 64


@dataclass(frozen=True, kw_only=True)
class SealedFiles:
    """The checked content of a sealed folder: documents and sets of tensors by the stem of their file's name."""

    folder: Path
    kind: str
    documents: Mapping[str, Any]
    tensors: Mapping[str, Mapping[str, Tensor]]

    def document(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        """The document of `<name>.json`; raises InvalidFileError where the folder holds none."""
        if name not in self.documents:
            raise _missing(self.folder / f"{name}.json", self.kind)
        return self.documents[name]

    def tensor_set(self, name: str) -> Mapping[str, Tensor]:
        """The tensors of `<name>.safetensors`; raises InvalidFileError where the folder holds none."""
        if name not in self.tensors:
            raise _missing(self.folder / f"{name}.safetensors", self.kind)
        return self.tensors[name]


def write_sealed(
    folder: Path,
    *,
    documents: Mapping[str, Any],
    tensors: Mapping[str, Mapping[str, Tensor]],
    overwrite: bool = False,
) -> None:
    """Write everything into `folder`, which appears whole or not at all.

    Tensors that are the same memory are stored once. Raises UsageError where `folder` exists (with `overwrite`:
    where it is more than a sealed folder), RunError where the disk is full or the folder cannot be written.
    """
    require_space(folder, sum(tensor.nbytes for named in tensors.values() for tensor in named.values()))
    aliases: dict[str, dict[str, str]] = {}
    with atomic_folder(folder, overwrite=overwrite, marker=MANIFEST) as staging:
        require_nothing_else(folder)
        for name, document in documents.items():
            _write_json(staging / f"{name}.json", document)
        for name, named in tensors.items():
            stored, aliases[name] = _stored_once(named)
            _write_tensors(staging / f"{name}.safetensors", stored)
        files = {
            file.name: {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in sorted(staging.iterdir())
        }
        manifest = {"schema": SCHEMA, "n2nsurgery": __version__, "files": files, "aliases": aliases}
        _write_json(staging / MANIFEST, {**manifest, "sha256": fingerprint(manifest)})


def require_nothing_else(folder: Path) -> None:
    """Return where all names in `folder` are those of a sealed one's files; else UsageError, manifest.json or not."""
    there = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if others := sorted(name for name in there if not _FILE_NAME.fullmatch(name)):
        raise UsageError(
            f"'{folder}' also holds '{others[0]}', so --overwrite does not replace it; move that away or choose "
            "another output"
        )


def read_sealed(folder: Path, kind: str) -> SealedFiles:
    """The content of the sealed folder, with every file's size and hash verified.

    Tensors lie on the CPU. Raises InvalidFileError, naming the file, for anything missing, truncated, altered,
    out of bounds or of a newer schema.
    """
    manifest = check_sealed(folder, kind)
    for name, entry in manifest["files"].items():
        _verify_hash(folder / name, entry)
    documents = {Path(name).stem: _read_json(folder / name) for name in manifest["files"] if name.endswith(".json")}
    tensors = {
        Path(name).stem: _read_tensors(folder / name, manifest["aliases"].get(Path(name).stem, {}))
        for name in manifest["files"]
        if name.endswith(".safetensors")
    }
    return SealedFiles(folder=folder, kind=kind, documents=documents, tensors=tensors)


def read_document(folder: Path, kind: str, name: str) -> Any:  # noqa: ANN401 - any JSON value
    """The document `name` of a folder whose manifest and sizes are valid, its hash verified; raises InvalidFileError.

    For a look at many folders: the other files are not hashed.
    """
    manifest = check_sealed(folder, kind)
    path = folder / f"{name}.json"
    entry = manifest["files"].get(path.name)
    if entry is None:
        raise _missing(path, kind)
    _verify_hash(path, entry)
    return _read_json(path)


def check_sealed(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of `folder`, valid, with every file of its size; hashes are left to `read_sealed`.

    Raises InvalidFileError.
    """
    manifest = _manifest(folder, kind)
    _verify_sizes(folder, manifest, kind)
    return manifest


def _manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of `folder`, its shape and its own hash verified."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise InvalidFileError(f"'{folder}' is not a folder, which every {kind} is")
    if not path.is_file():
        raise InvalidFileError(f"'{folder}' is not a complete {kind}: it has no {MANIFEST}")
    value = _read_json(path)
    manifest: dict[str, Any] = value if isinstance(value, dict) else {}
    schema = manifest.get("schema")
    if type(schema) is not int or schema < 1:
        raise InvalidFileError(f"'{path}' is not the manifest of a {kind}: it names no schema")
    if schema > SCHEMA:
        raise InvalidFileError(
            f"'{path}' has schema {schema}, written by a newer n2nsurgery; this one ({__version__}) reads "
            f"schema {SCHEMA} and older: upgrade it"
        )
    sealed = {key: value for key, value in manifest.items() if key != "sha256"}
    if manifest.get("sha256") != fingerprint(sealed):
        raise InvalidFileError(f"'{path}' was altered: its content does not match its own hash")
    if not _well_formed(manifest):
        raise InvalidFileError(
            f"'{path}' is not the manifest of a {kind}: its entries are not those of schema {schema}"
        )
    for name in manifest["files"]:
        if not _FILE_NAME.fullmatch(name):
            raise InvalidFileError(f"'{path}' names the file '{name}'; only files beside the manifest are read")
    return manifest


def _well_formed(manifest: dict[str, Any]) -> bool:
    """Whether `files` and `aliases` have the types that the rest of this file relies on."""
    files, aliases = manifest.get("files"), manifest.get("aliases")
    if not isinstance(files, dict) or not isinstance(aliases, dict):
        return False
    entries = all(isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() for entry in files.values())
    return entries and all(
        isinstance(table, dict) and all(isinstance(name, str) for name in table.values()) for table in aliases.values()
    )


def _verify_sizes(folder: Path, manifest: dict[str, Any], kind: str) -> None:
    for name, entry in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise _missing(path, kind)
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise InvalidFileError(f"'{path}' is damaged: it has {size:,} bytes, {MANIFEST} says {entry['bytes']:,}")


def _verify_hash(path: Path, entry: Mapping[str, Any]) -> None:
    if sha256(path) != entry["sha256"]:
        raise InvalidFileError(f"'{path}' was altered: its SHA-256 is not the one in {MANIFEST}")


def _missing(path: Path, kind: str) -> InvalidFileError:
    return InvalidFileError(f"'{path}' is missing from the {kind}")


def _write_json(path: Path, document: Any) -> None:  # noqa: ANN401 - any JSON value
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value of a file, refused where it is larger or deeper than anything we write."""
    size = path.stat().st_size
    if size > _LARGEST_DOCUMENT:
        raise InvalidFileError(f"'{path}' has {size:,} bytes; at most {_LARGEST_DOCUMENT:,} are read")
    try:
        value = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except RecursionError:
        raise _too_deep(path) from None
    except ValueError as error:
        raise InvalidFileError(f"'{path}' is not JSON: {error}") from error
    if _depth(value) > _DEEPEST_DOCUMENT:
        raise _too_deep(path)
    return value


def _too_deep(path: Path) -> InvalidFileError:
    return InvalidFileError(f"'{path}' is nested more than {_DEEPEST_DOCUMENT} levels deep")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _depth(value: Any) -> int:  # noqa: ANN401 - any JSON value
    """Nesting levels of a JSON value, counted level by level: recursion is what deep input attacks."""
    depth, level = 0, [value]
    while level:
        depth += 1
        children = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = [child for group in children for child in group]
    return depth


def _stored_once(named: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """`named` with each memory once and free of overlaps, and the alias -> stored name of those left out.

    Views that share only part of their memory are stored as copies: their values survive, their sharing is the
    model's own business, which rebuilds it.
    """
    stored: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[object, str] = {}
    storages: set[object] = set()
    for name, tensor in named.items():
        storage = (tensor.device, tensor.untyped_storage().data_ptr())
        view = (storage, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and view in seen:
            aliases[name] = seen[view]
            continue
        seen[view] = name
        shared = storage in storages
        storages.add(storage)
        plain = tensor.detach().cpu().contiguous()
        stored[name] = plain.clone() if shared else plain
    return stored, aliases


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file, which whoever may read the folder's other files may read as well."""
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(tensors, path)
        path.chmod(mode)  # safetensors writes it for its owner alone
    except SafetensorError as error:
        _raise_of_system(error, path)
        raise


def _raise_of_system(error: SafetensorError, path: Path) -> None:
    """Raise OSError where safetensors reports one of the operating system: its number is among the words."""
    if found := re.search(r"os error (\d+)", str(error)):
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error


def _read_tensors(path: Path, aliases: Mapping[str, str]) -> dict[str, Tensor]:
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > _LARGEST_HEADER:
        raise InvalidFileError(f"'{path}' announces a header of {header:,} bytes; at most {_LARGEST_HEADER:,} are read")
    try:
        stored = load_file(path)
    except SafetensorError as error:
        _raise_of_system(error, path)
        raise InvalidFileError(f"'{path}' is not a safetensors file: {error}") from error
    try:
        return stored | {alias: stored[name] for alias, name in aliases.items()}
    except KeyError as error:
        raise InvalidFileError(f"'{path}' lacks the tensor {error} that {MANIFEST} gives another name to") from error
