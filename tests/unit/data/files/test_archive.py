"""Image archives: read like the folder they were made from, and refused where damaged or unsafe."""

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.data.files import archive as archive_module
from n2nsurgery.data.files import image_files
from n2nsurgery.data.files.archive import images_of_archive
from n2nsurgery.data.files.decoding import decode_all, decoded
from n2nsurgery.data.files.image_files import ImageFiles, arrange, images_of_folder
from n2nsurgery.data.pipeline.in_memory import resized
from n2nsurgery.data.registry import DATA_SETS

WRITE = {".tar": "w:", ".tar.gz": "w:gz", ".tgz": "w:gz"}


def picture(seed, size=(6, 6), form="PNG", mode="RGB"):
    values = np.random.default_rng(seed).integers(0, 256, size=(*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).convert(mode).save(buffer, form)
    return buffer.getvalue()


def pack(path, members):
    """An archive at `path`; a member is bytes, or a TarInfo."""
    with tarfile.open(path, WRITE["." + path.name.partition(".")[2]]) as archive:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = 0 if isinstance(content, tarfile.TarInfo) else len(content)
            archive.addfile(info, None if isinstance(content, tarfile.TarInfo) else io.BytesIO(content))
    return path


MEMBERS = {
    f"set/{split}/{label}/{n}.png": picture(100 * i + 10 * j + n)
    for i, split in enumerate(("train", "test"))
    for j, label in enumerate("ab")
    for n in range(3)
} | {"set/train/a/.hidden.png": b"x", "set/readme.txt": b"words"}


@pytest.mark.parametrize("suffix", list(WRITE))
def test_an_archive_is_read_like_its_folder(tmp_path, suffix):
    path = pack(tmp_path / f"x{suffix}", MEMBERS)
    with tarfile.open(path) as opened:
        opened.extractall(tmp_path / "folder", filter="data")
    files, folder = images_of_archive(path), images_of_folder(tmp_path / "folder")
    assert files.names == folder.names
    assert files.ignored == folder.ignored == 2
    assert (
        [files.read(i) for i in range(12)] == [folder.read(i) for i in range(12)] == [MEMBERS[n] for n in files.names]
    )
    arrangement = arrange(files)
    assert arrangement == arrange(folder)
    assert arrangement.classes == ("a", "b")
    assert {split: len(pairs) for split, pairs in arrangement.splits.items()} == {"train": 6, "test": 6}


def link(name):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("../a/1.png", b"x", "outside of its own folder"),
        ("train/../../a/1.png", b"x", "outside of its own folder"),
        ("/train/a/1.png", b"x", "outside of its own folder"),
        ("train\\..\\1.png", b"x", "outside of its own folder"),
        ("train/a/1.png", link("train/a/1.png"), "link or device"),
    ],
)
def test_an_unsafe_member_is_refused(tmp_path, suffix, name, content, message):
    path = pack(tmp_path / f"x{suffix}", {name: content})
    with pytest.raises(InvalidFileError, match=message):
        images_of_archive(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.6])
def test_a_cut_off_archive_is_refused(tmp_path, suffix, part):
    path = pack(tmp_path / f"x{suffix}", MEMBERS)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InvalidFileError, match="archive"):
        images_of_archive(path)


def test_an_archive_cut_off_between_two_members_is_refused(tmp_path):
    path = pack(tmp_path / "x.tar", MEMBERS)
    with tarfile.open(path) as opened:
        third = opened.getmembers()[3].offset
    path.write_bytes(path.read_bytes()[:third])
    with tarfile.open(path) as opened:  # which tarfile itself does not notice
        assert len(opened.getmembers()) == 3
    with pytest.raises(InvalidFileError, match="cut off"):
        images_of_archive(path)


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
def test_a_file_that_is_not_a_archive_is_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"no archive" * 500 + bytes(2048))
    with pytest.raises(InvalidFileError, match="not a whole tar archive"):
        images_of_archive(path)


def test_sizes_are_bounded(tmp_path, monkeypatch):
    path = pack(tmp_path / "x.tgz", MEMBERS)
    with monkeypatch.context() as patched:
        patched.setattr(archive_module, "MOST_BYTES", 50)
        with pytest.raises(InvalidFileError, match="at most 50 are read"):
            images_of_archive(path)
    with monkeypatch.context() as patched:
        patched.setattr(archive_module, "_MOST_HELD", 500)
        with pytest.raises(InvalidFileError, match="unpack it"):
            images_of_archive(path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(bytes(60))
    monkeypatch.setattr(image_files, "MOST_BYTES", 50)
    with pytest.raises(InvalidFileError, match="larger than 50 bytes"):
        images_of_folder(tmp_path).read(0)


def listing(*names):
    return ImageFiles(where="there", names=tuple(sorted(names)), read=None, ignored=0)


@pytest.mark.parametrize(
    ("names", "classes", "sizes"),
    [
        (("train/a/1.png", "train/b/1.png", "val/a/2.png"), ("a", "b"), {"train": 2, "validation": 1}),
        (("top/train/a/1.png", "top/test/a/2.png"), ("a",), {"train": 1, "test": 1}),
        (("a/1.png", "b/1.png", "b/deeper/2.png"), ("a", "b"), {"all": 3}),
        (("top/mid/a/1.png", "top/mid/b/1.png"), ("a", "b"), {"all": 2}),
        (("train/a/1.png", "other/a/1.png"), ("a",), None),
    ],
)
def test_layouts(names, classes, sizes):
    if sizes is None:  # 'train' beside a folder that is no split is a class of its own
        classes, sizes = ("other", "train"), {"all": 2}
    found = arrange(listing(*names))
    assert found.classes == classes
    assert {split: len(pairs) for split, pairs in found.splits.items()} == sizes


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "no image"),
        (("1.png", "2.png"), "not laid out"),
        (("train/1.png", "test/2.png"), "not laid out"),
        (("train/a/1.png", "test/b/2.png"), "classes without training images: b"),
        (("test/a/1.png",), "classes without training images: a"),
    ],
)
def test_other_layouts_are_refused(names, message):
    with pytest.raises(InvalidFileError, match=message):
        arrange(listing(*names))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize("data", [b"", b"no image", EPS, picture(0)[:60], picture(0, form="JPEG", size=(40, 40))[:500]])
def test_a_damaged_image_is_named(data):
    with pytest.raises(InvalidFileError, match="train/a/1"):
        decoded(data, "train/a/1.png")


def test_an_image_of_too_many_pixels_is_not_decoded(monkeypatch):
    monkeypatch.setattr("n2nsurgery.data.files.decoding._MOST_PIXELS", 35)
    with pytest.raises(InvalidFileError, match="6 x 6 pixels; at most 35"):
        decoded(picture(0), "x.png")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_every_mode_becomes_rgb(mode):
    data = picture(0, mode=mode, form="JPEG" if mode == "CMYK" else "PNG")
    assert decode_all([data].__getitem__, ("x",), None).shape == (1, 3, 6, 6)


def test_images_of_different_sizes_need_a_size():
    images = [picture(0), picture(1, size=(5, 6))]
    with pytest.raises(InvalidFileError, match=r"'b' has 6 x 5 pixels, 'a' has 6 x 6; set the option size"):
        decode_all(images.__getitem__, ("a", "b"), None)
    assert decode_all(images.__getitem__, ("a", "b"), 4).shape == (2, 3, 4, 4)


def test_images_that_would_not_fit_into_memory_are_refused(monkeypatch):
    monkeypatch.setattr("n2nsurgery.data.files.memory._MOST_BYTES", 100)
    with pytest.raises(UsageError, match="2 samples of 108 bytes"):
        decode_all([picture(0), picture(1)].__getitem__, ("a", "b"), None)
    with pytest.raises(UsageError, match="1 samples of 147 bytes"):
        resized(torch.zeros((1, 3, 6, 6), dtype=torch.uint8), 7)


def test_images_without_splits_are_split_by_the_seed(tmp_path):
    pack(tmp_path / "x.tar", {f"{label}/{n}.png": picture(n, size=(6, 6)) for label in "ab" for n in range(10)})
    loaded = [DATA_SETS.get("imagefolder")(path="x.tar").load(tmp_path, download=False, seed=s) for s in (0, 0, 1)]
    assert all((splits.train.size, splits.test.size) == (16, 4) for splits in loaded)
    assert torch.bincount(loaded[0].test.targets).tolist() == [2, 2]
    assert torch.equal(loaded[0].test.positions, loaded[1].test.positions)
    assert not torch.equal(loaded[0].test.positions, loaded[2].test.positions)
    assert not set(loaded[0].test.positions.tolist()) & set(loaded[0].train.positions.tolist())


def test_a_validation_folder_is_used_and_not_carved_beside(tmp_path):
    members = {f"{s}/{label}/1.png": picture(i) for i, s in enumerate(("train", "val", "test")) for label in "ab"}
    pack(tmp_path / "x.tar", members)
    splits = DATA_SETS.get("imagefolder")(path="x.tar").load(tmp_path, download=False, seed=0)
    assert splits.validation.size == 2
    with pytest.raises(UsageError, match="its own validation split"):
        DATA_SETS.get("imagefolder")(path="x.tar", validation=1).load(tmp_path, download=False, seed=0)


def test_a_wrong_number_of_classes_is_refused(tmp_path):
    pack(
        tmp_path / "cifar10-images.tar", {f"{s}/{label}/1.png": picture(0) for s in ("train", "test") for label in "ab"}
    )
    with pytest.raises(InvalidFileError, match="has 2 classes; 10 are needed"):
        DATA_SETS.get("cifar10")().load(tmp_path, download=False, seed=0)
