"""Archives fetched on request: verified, whole or not there, and only where permitted."""

import hashlib
import os
import struct
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pooch
import pytest

from n2nsurgery.core.errors import RunError, UsageError, VerificationError
from n2nsurgery.data.files.download import Remote, fetch
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.data.sets import mnist

CONTENT = b"content" * 1000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Write nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder, and the address at which its files are published."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)  # between attempts
    folder = tmp_path / "published"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def published(server):
    """The address of a file with CONTENT."""
    folder, address = server
    (folder / "set.bin").write_bytes(CONTENT)
    return f"{address}/set.bin"


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


def test_a_file_that_is_far_too_large_is_given_up(tmp_path, server):
    folder, address = server
    (folder / "set.bin").write_bytes(bytes(3 << 20))
    remote = Remote(url=f"{address}/set.bin", size=10, digest="0" * 64)
    with pytest.raises(VerificationError, match="more than 10 bytes"):
        fetch(remote, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_a_file_has_the_permissions_that_the_umask_gives(tmp_path, published, umask, mode):
    digest = hashlib.sha256(CONTENT).hexdigest()
    before = os.umask(umask)
    try:
        path = fetch(Remote(url=published, size=len(CONTENT), digest=digest), tmp_path / "data")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_a_failed_attempt_is_repeated(tmp_path, published, monkeypatch):
    answers = [CONTENT[:-1], CONTENT]
    real = pooch.HTTPDownloader.__call__

    def flaky(self, url, output_file, *rest):
        real(self, url, output_file, *rest)
        Path(output_file).write_bytes(answers.pop(0))

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", flaky)
    digest = hashlib.sha256(CONTENT).hexdigest()
    path = fetch(Remote(url=published, size=len(CONTENT), digest=digest), tmp_path / "data")
    assert path.read_bytes() == CONTENT
    assert answers == []


def test_an_address_that_does_not_answer_is_a_failed_run(tmp_path, server):
    remote = Remote(url=f"{server[1]}/nothing", size=1, digest="0" * 64)
    with pytest.raises(RunError, match="cannot fetch http://127"):
        fetch(remote, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_set_fetches_what_is_missing_and_only_where_permitted(tmp_path, server, monkeypatch):
    published, remotes = server[0], []
    for remote in mnist._MNIST.remotes:
        shape = (30, 4, 4) if "images" in remote.name else (30,)
        values = bytes(16 * 30) if "images" in remote.name else bytes(n % 10 for n in range(30))
        data = b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values
        name = remote.name.removesuffix(".gz")
        (published / name).write_bytes(data)
        url = f"{server[1]}/{name}"
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
