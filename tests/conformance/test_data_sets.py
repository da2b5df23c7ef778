"""What every data set promises, for all members of the registry, on folders of a few samples."""

import dataclasses
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.assembly.describe import describe
from n2nsurgery.data.pipeline.splits import DataSplits
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.testing.data_sets import DATA_SET_CHECKS, LoadedSet, contents

every_set = pytest.mark.parametrize("name", DATA_SETS.names())
NUMBERS = np.random.default_rng(0)


def records(count: int, classes: int, label_bytes: int) -> bytes:
    rows = NUMBERS.integers(0, 256, size=(count, label_bytes + 3072), dtype=np.uint8)
    rows[:, label_bytes - 1] = np.arange(count) % classes
    return rows.tobytes()


def cifar(root: Path, folder: str, files: tuple[str, ...], classes: int, label_bytes: int) -> dict[str, object]:
    (root / folder).mkdir()
    for file in files:
        (root / folder / file).write_bytes(records(2 * classes, classes, label_bytes))
    return {}


def idx(root: Path, folder: str) -> dict[str, object]:
    (root / folder).mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 20)):
        images = NUMBERS.integers(0, 256, size=(count, 28, 28), dtype=np.uint8)
        head = b"\0\0\x08\x03" + struct.pack(">3I", *images.shape)
        (root / folder / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        labels = bytes(number % 10 for number in range(count))
        (root / folder / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + struct.pack(">I", count) + labels)
    return {}


def images(folder: Path, splits: tuple[str, ...], size: tuple[int, int], classes: int = 3) -> None:
    for split in splits:
        for label in range(classes):
            place = folder / split / f"n{label}"
            place.mkdir(parents=True)
            for number in range(4):
                pixels = NUMBERS.integers(0, 256, size=(*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")


def imagenet(root: Path) -> dict[str, object]:
    images(root / "imagenet", ("train", "val"), (90, 80))
    return {"classes": 3, "size": 66}


def image_folder(root: Path) -> dict[str, object]:
    images(root / "mine", ("train", "test"), (8, 8))
    with tarfile.open(root / "mine.tgz", "w:gz") as archive:
        archive.add(root / "mine", "mine")
    return {"path": "mine.tgz"}


def npz(root: Path) -> dict[str, object]:
    shape = (3, 8, 8)
    x_train, x_test = (NUMBERS.integers(0, 256, size=(count, *shape), dtype=np.uint8) for count in (30, 10))
    np.savez(root / "data.npz", x_train=x_train, y_train=np.arange(30) % 5, x_test=x_test, y_test=np.arange(10) % 5)
    return {}


TINY = {
    "cifar10": lambda root: cifar(
        root, "cifar-10-batches-bin", (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"), 10, 1
    ),
    "cifar100": lambda root: cifar(root, "cifar-100-binary", ("train.bin", "test.bin"), 100, 2),
    "fake": lambda _: {"train": 60, "test": 20, "shape": (3, 8, 8)},
    "fashion-mnist": lambda root: idx(root, "FashionMNIST/raw"),
    "imagefolder": image_folder,
    "imagenet": imagenet,
    "mnist": lambda root: idx(root, "MNIST/raw"),
    "morse": lambda _: {"train_per_class": 4, "validation_per_class": 2, "test_per_class": 2},
    "npz": npz,
}
GENERATED = {"fake", "morse"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """For each set a folder with a few samples, and the options which it is loaded with."""
    made = {}
    for name in DATA_SETS.names():
        root = tmp_path_factory.mktemp(name)
        made[name] = (root, TINY[name](root))
    return made


def load(tiny, name, **options) -> DataSplits:
    root, own = tiny[name]
    return DATA_SETS.get(name)(**own | options).load(root, download=False, seed=0)


def fields_of(name: str) -> set[str]:
    return {field.name for field in dataclasses.fields(DATA_SETS.get(name))}


@every_set
@pytest.mark.parametrize("check", DATA_SET_CHECKS, ids=lambda check: check.__name__)
def test_a_data_set_keeps_its_promises(tiny, name, check):
    root, own = tiny[name]
    check(LoadedSet(data_set=DATA_SETS.get(name)(**own), root=root))


@every_set
def test_the_module_docstring_names_the_set(name):
    module = __import__(DATA_SETS.get(name).__module__, fromlist=["MEMBER"])
    assert module.__doc__.startswith(f"Data set `{name}`")


@every_set
def test_no_two_splits_hold_equal_samples(tiny, name):
    if name == "morse":
        pytest.skip("baseline frames of short codewords repeat by nature")
    options = {"validation": 5} if "validation" in fields_of(name) else {}
    rows = [row.numpy().tobytes() for split in contents(load(tiny, name, **options))[::2] for row in split]
    assert len(set(rows)) == len(rows)


@every_set
def test_a_limited_test_split_is_said(tiny, name):
    assert "test is limited to 6 samples" in describe(load(tiny, name, test_limit=6))


@every_set
@pytest.mark.parametrize(
    ("option", "value"),
    [("train_limit", 0), ("train_limit", 10**9), ("test_limit", 0), ("test_limit", 10**9),
     ("validation", 0.0), ("validation", 1.5), ("validation", 10**9),
     ("validation", -0.1), ("augment", "stanard"), ("size", 0), ("size", 10**6)],
)  # fmt: skip
def test_an_option_out_of_range_is_a_usage_error(tiny, name, option, value):
    if option not in fields_of(name):
        pytest.skip(f"has no option {option}")
    with pytest.raises(UsageError, match=f"{value}"):
        load(tiny, name, **{option: value})


@every_set
def test_missing_data_say_what_was_looked_for_and_how_to_get_it(tmp_path, name):
    member = DATA_SETS.get(name)
    if name in GENERATED:
        pytest.skip("is generated")
    with pytest.raises(UsageError) as caught:
        member(**{"path": "mine"} if name == "imagefolder" else {}).load(tmp_path, download=False, seed=0)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "looked for: " in message
    assert "N2NSURGERY_DATA" in message
    assert "--download" in message or "train|" in message or "numpy.savez" in message


@every_set
def test_the_folder_comes_from_the_environment_and_home_is_expanded(tiny, name, monkeypatch):
    root, own = tiny[name]
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("N2NSURGERY_DATA", f"~/{root.name}")
    assert DATA_SETS.get(name)(**own).load(None, download=False, seed=0).train.size
