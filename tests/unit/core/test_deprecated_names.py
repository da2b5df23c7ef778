import pytest

import n2nsurgery


def test_the_former_name_of_a_pruned_model_still_works_and_says_the_new_one():
    with pytest.warns(DeprecationWarning, match="n2nsurgery.PrunedModel"):
        assert n2nsurgery.Operated is n2nsurgery.PrunedModel
