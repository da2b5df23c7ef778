"""ImageNet's official archives, in small: read in place, like the folders one would make of them."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.data.files.archive import images_of_archive
from n2nsurgery.data.files.ilsvrc import DEVKIT, SYNSETS, TRAIN, VALIDATION, official_images
from n2nsurgery.data.files.image_files import images_of_folder
from n2nsurgery.data.registry import DATA_SETS

WNIDS = ("n00000007", "n00000003", "n00000005")  # of the numbers 1, 2, 3: not in alphabetical order
TRUTH = (3, 1, 2, 2, 1, 3)


def picture(seed):
    values = np.random.default_rng(seed).integers(0, 256, size=(9, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG")
    return buffer.getvalue()


def packed(members, mode="w:"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


IMAGES = {wnid: {f"{wnid}_{n}.JPEG": picture(10 * i + n) for n in range(4)} for i, wnid in enumerate(WNIDS)}
VALIDATION_IMAGES = {f"ILSVRC2012_val_{n:08}.JPEG": picture(100 + n) for n in range(1, 7)}


def meta():
    """As published: synsets above the classes have numbers, too."""
    rows = [(number, wnid, 0) for number, wnid in enumerate(WNIDS, start=1)] + [(4, "n00000001", 3)]
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": np.array(rows, dtype=kinds).reshape(-1, 1)})
    return buffer.getvalue()


def devkit(truth=TRUTH, **changes):
    members = {
        "ILSVRC2012_devkit_t12/readme.txt": b"words",
        "ILSVRC2012_devkit_t12/data/meta.mat": meta(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": "\n".join(map(str, truth)).encode(),
    }
    return packed(members | changes, "w:gz")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A data folder with the three archives in it."""
    (tmp_path / TRAIN).write_bytes(packed({f"{wnid}.tar": packed(members) for wnid, members in IMAGES.items()}))
    (tmp_path / VALIDATION).write_bytes(packed(VALIDATION_IMAGES))
    (tmp_path / DEVKIT).write_bytes(devkit())
    return tmp_path


def unpacked(folder):
    for wnid, members in IMAGES.items():
        place = folder / "train" / wnid
        place.mkdir(parents=True)
        for name, data in members.items():
            (place / name).write_bytes(data)
    for (name, data), number in zip(VALIDATION_IMAGES.items(), TRUTH, strict=True):
        place = folder / "val" / WNIDS[number - 1]
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)


def contents(files):
    return [(name, files.read(index)) for index, name in enumerate(files.names)]


def load(root):
    return DATA_SETS.get("imagenet")(classes=3, size=8).load(root, download=False, seed=0)


def test_the_archives_are_read_like_the_folders_that_they_unpack_to(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    unpacked(other / "imagenet")
    assert contents(official_images(folder)) == contents(images_of_folder(other / "imagenet"))
    archives, folders = load(folder), load(other)
    assert (archives.train.size, archives.test.size, archives.classes) == (12, 6, 3)
    for one, two in zip((archives.train, archives.test), (folders.train, folders.test), strict=True):
        for mine, theirs in zip(one.batch(torch.arange(one.size)), two.batch(torch.arange(two.size)), strict=True):
            assert torch.equal(mine, theirs)
    assert sorted(path.name for path in folder.iterdir()) == sorted([TRAIN, VALIDATION, DEVKIT])  # nothing was written


def test_a_text_of_synsets_does_as_well_as_the_devkit(folder):
    expected = contents(official_images(folder))
    (folder / DEVKIT).unlink()
    (folder / SYNSETS).write_text("\n".join(WNIDS[number - 1] for number in TRUTH) + "\n")
    assert contents(official_images(folder)) == expected


def test_validation_images_may_lie_in_folders_of_their_classes(folder):
    expected = contents(official_images(folder))
    (folder / "imagenet").mkdir()
    unpacked(folder / "imagenet")
    for name in (VALIDATION, DEVKIT):
        (folder / name).unlink()
    (folder / "imagenet" / "val").rename(folder / "val")
    assert contents(official_images(folder)) == expected


@pytest.mark.parametrize("place", ["", "imagenet", "ILSVRC2012"])
def test_the_archives_are_found_in_the_usual_places(folder, place):
    root = folder / "data"
    (root / place).mkdir(parents=True)
    for name in (TRAIN, VALIDATION, DEVKIT):
        (folder / name).rename(root / place / name)
    assert load(root).train.size == 12


def test_what_is_missing_is_named(folder):
    (folder / DEVKIT).unlink()
    with pytest.raises(UsageError, match=rf"which image is of which class; put {DEVKIT} beside it, or {SYNSETS}"):
        load(folder)
    (folder / VALIDATION).unlink()
    with pytest.raises(UsageError, match=rf"put {VALIDATION} beside it, with {DEVKIT}"):
        load(folder)
    (folder / TRAIN).unlink()
    with pytest.raises(UsageError, match=rf"looked for: .*{TRAIN}\. Register at image-net\.org and put {VALIDATION}"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (DEVKIT, devkit(TRUTH[:5]), "has 6 images, and 5 have a class"),
        (DEVKIT, devkit((*TRUTH[:5], 9)), "holds no classes of ILSVRC 2012"),
        (
            DEVKIT,
            devkit(**{"ILSVRC2012_devkit_t12/data/meta.mat": b"no matrix" * 40}),
            "holds no classes of ILSVRC 2012",
        ),
        (DEVKIT, packed({"data/meta.mat": meta()}, "w:gz"), "holds no data/ILSVRC2012_validation_ground_truth"),
        (DEVKIT, devkit()[:200], "not a whole tar archive"),
        (SYNSETS, b"goldfish\n" * 6, "gives 'goldfish' as class"),
        (VALIDATION, packed({f"{n}.JPEG": picture(n) for n in range(6)}), "has an image '0.JPEG'"),
        (VALIDATION, packed(VALIDATION_IMAGES)[:3000], "cut off"),
    ],
)
def test_damaged_files_are_refused(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(InvalidFileError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (packed({"a.png": b"x" * 3000})[:2048], "has no end-of-archive mark"),
        (packed({"../a.png": b"x"}), "outside of its own folder"),
        (packed({"a.png": b"x" * 3000})[:1024] + bytes(1024), "reaches beyond its end"),
        (b"no archive" * 60 + bytes(1024), "not a whole tar archive: it has no member at byte 0"),
        (packed({"a.png": b"x"})[:1024] + b"?" * 512 + bytes(1024), "it has no member at byte 1024"),
    ],
    ids=["cut off", "unsafe", "too long", "no archive", "damaged"],
)
def test_a_bad_inner_archive_is_refused(tmp_path, inner, message):
    (tmp_path / "x.tar").write_bytes(packed({"a.tar": inner, "b.tar": packed({"b.png": b"y"})}))
    with pytest.raises(InvalidFileError, match=message):
        images_of_archive(tmp_path / "x.tar")


def test_archives_in_archives_in_archives_are_left_out(tmp_path):
    deep = packed({"a.tar": packed({"b.tar": packed({"c.png": b"x"}), "d.png": b"yz", ".e.png": b""})})
    (tmp_path / "x.tar").write_bytes(deep)
    files = images_of_archive(tmp_path / "x.tar")
    assert (files.names, files.ignored, files.read(0)) == (("a/d.png",), 2, b"yz")
