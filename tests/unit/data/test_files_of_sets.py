"""The files which sets are published in, damaged in every way that has its own message."""

import gzip
import io
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.data.files.idx import read_idx
from n2nsurgery.data.files.npz_file import read_npz
from n2nsurgery.data.registry import DATA_SETS


def load(name, root, **options):
    return DATA_SETS.get(name)(**options).load(root, download=False, seed=0)


def records(count=20, classes=10):
    rows = np.random.default_rng(0).integers(0, 256, size=(count, 3073), dtype=np.uint8)
    rows[:, 0] = np.arange(count) % classes
    return rows


def cifar_archive(path, files):
    with tarfile.open(path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


BATCHES = tuple(f"data_batch_{n}.bin" for n in range(1, 6))


def test_cifar_is_read_from_its_archive_pixel_by_pixel(tmp_path):
    rows = records()
    cifar_archive(tmp_path, dict.fromkeys((*BATCHES, "test_batch.bin"), rows.tobytes()))
    splits = load("cifar10", tmp_path, normalize=False)
    inputs, targets = splits.train.batch(torch.arange(20))
    assert splits.train.size == 100
    assert targets.tolist() == rows[:, 0].tolist()
    expected = torch.from_numpy(rows[:, 1:].reshape(20, 3, 32, 32)).float() / 255
    torch.testing.assert_close(inputs, expected)  # a division and a multiplication by the reciprocal round differently
    normalized = load("cifar10", tmp_path).train.batch(torch.arange(20))[0]
    mean = torch.tensor([125.3, 123.0, 113.9]).view(3, 1, 1)
    std = torch.tensor([63.0, 62.1, 66.7]).view(3, 1, 1)
    torch.testing.assert_close(normalized, (expected * 255 - mean) / std, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files.pop("data_batch_3.bin"), "data_batch_3.bin not found"),
        (lambda files: files.update({"test_batch.bin": b""}), "test_batch.bin has 0 bytes"),
        (lambda files: files.update({"test_batch.bin": bytes(3072)}), "not a multiple of 3073"),
        (
            lambda files: files.update({"test_batch.bin": records(classes=11).tobytes()}),
            "from 0 to 10; with 10 classes",
        ),
    ],
)
def test_damaged_cifar_is_refused(tmp_path, change, message):
    files = dict.fromkeys((*BATCHES, "test_batch.bin"), records().tobytes())
    change(files)
    cifar_archive(tmp_path, files)
    with pytest.raises(InvalidFileError, match=message):
        load("cifar10", tmp_path)


def test_a_cut_off_cifar_archive_is_refused(tmp_path):
    cifar_archive(tmp_path, dict.fromkeys((*BATCHES, "test_batch.bin"), records().tobytes()))
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InvalidFileError, match="cannot be read"):
        load("cifar10", tmp_path)


def test_pickled_cifar_is_named_and_not_read(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(UsageError, match=r"pickled python version, which is not read.*--download"):
        load("cifar10", tmp_path)


IMAGES = b"\0\0\x08\x03" + struct.pack(">3I", 2, 2, 2) + bytes(range(8))


@pytest.mark.parametrize("name", ["x", "x.gz"])
def test_idx_is_read_plain_and_compressed(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(IMAGES) if name.endswith(".gz") else IMAGES)
    assert read_idx(tmp_path / name, 3).tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "starts with nothing"),
        (b"\0\0\x0d\x03", "starts with 00000d03"),
        (b"\0\0\x08\x01", "starts with 000008030*|starts with 00000801"),
        (IMAGES[:12], "4 of 12|8 of 12 bytes"),
        (IMAGES[:-1], "7 of 8 bytes"),
        (IMAGES + b"x", "longer than its shape"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 2**31, 2), "are read"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 0, 2, 2), "0 bytes"),
    ],
)
def test_damaged_idx_is_refused(tmp_path, data, message):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InvalidFileError, match=message):
        read_idx(tmp_path / "x", 3)


def test_damaged_compression_is_refused(tmp_path):
    whole = gzip.compress(IMAGES)
    for data in (whole[:-9], b"no gzip", whole[:-8] + bytes(8)):
        (tmp_path / "x.gz").write_bytes(data)
        with pytest.raises(InvalidFileError, match=r"cannot be read|cut off"):
            read_idx(tmp_path / "x.gz", 3)


def arrays(**changes):
    generator = np.random.default_rng(0)
    found = {
        "x_train": generator.integers(0, 256, size=(30, 8, 8, 3), dtype=np.uint8),
        "y_train": np.arange(30) % 5,
        "x_test": generator.integers(0, 256, size=(10, 8, 8, 3), dtype=np.uint8),
        "y_test": np.arange(10) % 5,
    } | changes
    return {name: array for name, array in found.items() if array is not None}


def vectors(count, kind=np.float64):
    return np.random.default_rng(1).normal(3, 2, size=(count, 6)).astype(kind)


@pytest.mark.parametrize(
    ("changes", "options", "shape"),
    [
        ({}, {}, (3, 8, 8)),
        ({}, {"size": 5, "augment": "standard"}, (3, 5, 5)),
        ({"x_train": np.zeros((30, 4, 4), np.uint8), "x_test": np.zeros((10, 4, 4), np.uint8)}, {}, (1, 4, 4)),
        ({"x_train": vectors(30), "x_test": vectors(10)}, {}, (6,)),
        ({"x_train": vectors(30, np.float16), "x_test": vectors(10)}, {"normalize": False}, (6,)),
        ({"x_val": np.zeros((4, 8, 8, 3), np.uint8), "y_val": np.arange(4)}, {"classes": 9}, (3, 8, 8)),
    ],
)
def test_npz_holds_images_or_vectors(tmp_path, changes, options, shape):
    np.savez_compressed(tmp_path / "data.npz", **arrays(**changes))
    splits = load("npz", tmp_path, **options)
    inputs, _ = splits.train.batch(torch.arange(30), torch.Generator())
    assert splits.train.shape == shape
    assert inputs.shape == (30, *shape)
    assert (splits.validation is not None) == ("x_val" in changes)
    assert splits.classes == options.get("classes", 5)
    if options.get("normalize", True) and not options.get("augment") and inputs.abs().sum():
        # The mean of 180 or more float32 values of order 1 is exact to 1e-6.
        assert abs(float(inputs.mean())) < 1e-5


def test_a_path_is_found_below_the_data_folder_and_else_in_the_current_one(monkeypatch, tmp_path):
    here, data = tmp_path / "here", tmp_path / "data"
    here.mkdir()
    data.mkdir()
    monkeypatch.chdir(here)
    np.savez(here / "mine.npz", **arrays())
    assert load("npz", data, path="mine.npz").description[0] == "arrays in 'mine.npz'"
    np.savez(data / "mine.npz", **arrays())
    assert load("npz", data, path="mine.npz").description[0] == f"arrays in '{data / 'mine.npz'}'"
    with pytest.raises(UsageError, match=r"nor in the current folder '.*here'; looked for: pictures"):
        load("imagefolder", data, path="pictures")
    (here / "pictures").mkdir()
    with pytest.raises(InvalidFileError, match="'pictures' is not laid out as"):
        load("imagefolder", data, path="pictures")


def test_an_npz_file_that_is_missing_is_said_to_be(tmp_path):
    with pytest.raises(InvalidFileError, match=r"there is no file '.*none\.npz'"):
        read_npz(tmp_path / "none.npz", ("x",))


def test_npz_vectors_keep_their_values_without_normalization(tmp_path):
    np.savez(tmp_path / "data.npz", **arrays(x_train=vectors(30), x_test=vectors(10)))
    inputs, _ = load("npz", tmp_path, normalize=False).train.batch(torch.arange(30))
    assert torch.equal(inputs, torch.from_numpy(vectors(30)).float())


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({"y_test": None}, {}, InvalidFileError, "has no y_test; it needs x_train"),
        ({"y_train": np.eye(5)[np.arange(30) % 5]}, {}, InvalidFileError, r"y_train is float64 of shape \(30, 5\)"),
        ({"y_train": np.arange(29) % 5}, {}, InvalidFileError, "x_train has 30 samples, y_train has 29"),
        ({"y_train": np.arange(30) % 5 - 1}, {}, InvalidFileError, "range from -1 to 3"),
        ({"y_test": np.arange(10)}, {}, InvalidFileError, "test targets range from 0 to 9; with 5 classes"),
        ({"x_val": np.zeros((4, 8, 8, 3), np.uint8)}, {}, InvalidFileError, "only one of x_val and y_val"),
        ({"x_test": np.zeros((10, 8, 8), np.uint8)}, {}, InvalidFileError, "x_test has 1 channels, x_train has 3"),
        ({"x_test": np.zeros((10, 7, 7, 3), np.uint8)}, {}, InvalidFileError, "training samples have shape"),
        ({"x_train": np.zeros((30, 7, 7, 7), np.uint8)}, {}, InvalidFileError, r"has shape \(30, 7, 7, 7\)"),
        ({"x_train": np.zeros((30, 4), np.int64)}, {}, InvalidFileError, "x_train is int64; uint8 or floating"),
        ({"x_train": np.full((30, 4), np.inf)}, {}, InvalidFileError, "not finite"),
        ({"x_train": np.zeros((0, 4))}, {}, InvalidFileError, "no samples"),
        ({"x_train": vectors(30)}, {"augment": "standard"}, UsageError, "holds vectors"),
        ({"x_train": np.zeros((30, 4, 4))}, {"size": 5}, UsageError, "resizes images in uint8"),
        ({"x_train": np.array([{}] * 30)}, {}, InvalidFileError, "Object arrays cannot be loaded"),
    ],
)
def test_other_arrays_are_refused(tmp_path, changes, options, error, message):
    np.savez(tmp_path / "data.npz", **arrays(**changes))
    with pytest.raises(error, match=message):
        load("npz", tmp_path, **options)


def test_an_array_that_declares_more_than_is_stored_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", buffer.getvalue() + bytes(10))
    with pytest.raises(InvalidFileError, match="does not fit into memory"):
        read_npz(tmp_path / "x.npz", ("a",))


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04" + bytes(40)])
def test_a_file_that_is_not_a_npz_is_refused(tmp_path, data):
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(InvalidFileError, match=r"not a whole \.npz file"):
        read_npz(tmp_path / "x.npz", ("a",))
