"""Archives fetched on request: verified, whole or not there, and only where permitted."""

import hashlib
import struct

import pytest

from n2nsurgery.core.errors import RunError, UsageError, VerificationError
from n2nsurgery.data.files.download import Remote, fetch
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.data.sets import mnist

CONTENT = b"content" * 1000


@pytest.fixture
def published(tmp_path):
    """The address of a file with CONTENT."""
    path = tmp_path / "published" / "set.bin"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path.as_uri()


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_what_is_fetched_is_verified(tmp_path, published, algorithm):
    digest = hashlib.new(algorithm, CONTENT, usedforsecurity=False).hexdigest()
    path = fetch(Remote(url=published, size=len(CONTENT), digest=digest), tmp_path / "data")
    assert path == tmp_path / "data" / "set.bin"
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("size", "content"), [(len(CONTENT), b"other"), (len(CONTENT) - 1, CONTENT), (len(CONTENT) + 1, CONTENT)]
)
def test_a_file_that_is_not_what_it_should_be_is_not_kept(tmp_path, published, size, content):
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(VerificationError, match=r"Nothing was kept"):
        fetch(Remote(url=published, size=size, digest=digest), tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_an_address_that_does_not_answer_is_a_failed_run(tmp_path):
    remote = Remote(url=(tmp_path / "nothing").as_uri(), size=1, digest="0" * 64)
    with pytest.raises(RunError, match="cannot fetch file:///"):
        fetch(remote, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_set_fetches_what_is_missing_and_only_where_permitted(tmp_path, monkeypatch):
    published, remotes = tmp_path / "published", []
    published.mkdir()
    for remote in mnist._MNIST.remotes:
        shape = (30, 4, 4) if "images" in remote.name else (30,)
        values = bytes(16 * 30) if "images" in remote.name else bytes(n % 10 for n in range(30))
        data = b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values
        name = remote.name.removesuffix(".gz")
        (published / name).write_bytes(data)
        url = (published / name).as_uri()
        remotes.append(Remote(url=url, size=len(data), digest=hashlib.sha256(data).hexdigest()))
    changed = mnist.IdxSet(
        name="mnist", folders=mnist._MNIST.folders, remotes=tuple(remotes), normalization=mnist._MNIST.normalization
    )
    monkeypatch.setattr(mnist, "_MNIST", changed)
    root = tmp_path / "data"
    with pytest.raises(UsageError, match="--download"):
        DATA_SETS.get("mnist")().load(root, download=False, seed=0)
    assert not root.exists()
    assert DATA_SETS.get("mnist")().load(root, download=True, seed=0).train.size == 30
    assert sorted(path.name for path in (root / "MNIST" / "raw").iterdir()) == sorted(r.name for r in remotes)
    assert DATA_SETS.get("mnist")().load(root, download=False, seed=0).train.size == 30


@pytest.mark.parametrize("name", ["imagenet"])
def test_what_cannot_be_fetched_is_said(tmp_path, name):
    with pytest.raises(UsageError, match="--download cannot fetch it"):
        DATA_SETS.get(name)().load(tmp_path, download=True, seed=0)
