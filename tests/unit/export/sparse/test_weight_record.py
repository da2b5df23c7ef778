import pytest

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.export.sparse.weight_record import WeightRecord

RECORD = WeightRecord(
    name="layer.weight",
    initializer="layer.weight",
    shape=(4, 3),
    transposed=False,
    nnz=6,
    code="bits",
    values="fp16",
    computed="sparse",
    reason="predicted",
    bytes=20,
)


def test_a_record_comes_back_from_json():
    assert WeightRecord.from_json(RECORD.to_json()) == RECORD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [2**31, 2]}, r"has shape \(2147483648, 2\); at most 8 dimensions and 2147483647 entries are read"),
        ({"shape": [1] * 9}, "at most 8 dimensions"),
        ({"shape": [-1, 2]}, "has shape"),
        ({"nnz": -1}, "has nnz -1, bytes 20 and measured None"),
        ({"measured": 0.0}, "measured 0.0"),
        ({"code": "gaps12"}, "the record of a weight.code is 'gaps12'"),
        ({"transposed": 1}, "the record of a weight.transposed is 1; bool is needed"),
        ({"unknown": 1}, r"unknown keys \['unknown'\]"),
    ],
)
def test_a_damaged_record_is_refused_and_says_what_to_do(change, message):
    with pytest.raises(InvalidFileError, match=f"{message}.*; export the model again"):
        WeightRecord.from_json(RECORD.to_json() | change)
