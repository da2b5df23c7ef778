"""What every metric of connectivity promises, for all members of the registry."""

import pytest

from n2nsurgery.connectivity import METRICS, Subject
from n2nsurgery.testing.metrics import METRIC_CHECKS, graphs, reference

every_metric = pytest.mark.parametrize("name", METRICS.names())
UNITS = {"", "share", "channels", "edges", "parts", "layers", "weights", "log10", "conductance", "1/conductance"}


@every_metric
@pytest.mark.parametrize("check", METRIC_CHECKS, ids=lambda check: check.__name__)
def test_a_metric_keeps_its_promises(name, check):
    check(METRICS.get(name)())


@every_metric
def test_a_built_in_metric_uses_the_units_of_the_glossary_and_begins_meanings_with_a_capital(name):
    measurement = METRICS.get(name)().measure(Subject(graph=graphs()["pruned"]), reference())
    for each in (*measurement.quantities.values(), *measurement.columns.values()):
        assert each.unit in UNITS
    for each in (*measurement.quantities.values(), *measurement.columns.values(), *measurement.curves.values()):
        assert each.meaning[0].isupper() or each.meaning.startswith(("F ", "|L x"))


@every_metric
def test_the_module_docstring_names_the_metric_and_a_source(name):
    text = __import__(METRICS.get(name).__module__, fromlist=["MEMBER"]).__doc__
    assert text.startswith(f"Metric `{name}`")
    assert any(source in text for source in ("paper", "19", "20", "sum over all paths"))
