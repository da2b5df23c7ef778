import pytest

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.masks import CRITERIA, make_criterion


@pytest.mark.parametrize(("alias", "name"), [("rp", "random"), ("csp", "snip"), ("RP", "random")])
def test_the_papers_names_are_known(alias, name):
    assert CRITERIA.get(alias) is CRITERIA.get(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("snipe", {}, "unknown criterion 'snipe'; did you mean 'snip'"),
        ("rp", {"alocation": "erk"}, "unknown option of the criterion 'random' 'alocation'; did you mean 'allocation'"),
        ("random", {"allocation": "elk"}, "unknown allocation 'elk'; did you mean 'erk'"),
        ("random", {"granularity": "kernal"}, "unknown granularity 'kernal'; did you mean 'kernel'"),
        ("snip", {"scope": "layers"}, "scope is 'layers'; it must be one of global, layer; did you mean 'layer'"),
        ("snip", {"mode": "training"}, "mode is 'training'; it must be one of .*; did you mean 'train'"),
        ("magnitude", {"scope": "all"}, "scope is 'all'; it must be one of global, layer"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name, options, message):
    with pytest.raises(UnknownNameError, match=message):
        make_criterion(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("synflow", {"rounds": 0}, "rounds is 0; SynFlow needs at least 1"),
        ("grasp", {"temperature": 0.0}, r"temperature is 0\.0; it must be positive"),
        ("grasp", {"temperature": float("nan")}, "temperature is nan"),
    ],
)
def test_values_out_of_range_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        make_criterion(name, **options)
