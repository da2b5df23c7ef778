from __future__ import annotations

import pytest

from n2nsurgery.core import errors

TREE = {
    errors.RunError: 1,
    errors.UsageError: 2,
    errors.UnknownNameError: 2,
    errors.BudgetError: 2,
    errors.InvalidFileError: 3,
    errors.VerificationError: 4,
    errors.TraceError: 5,
    errors.InterruptionError: 130,
    errors.LostProcessError: 1,
    errors.InternalError: 1,
}


def leaves(branch: type[Exception]) -> set[type[Exception]]:
    """The classes of the tree itself; a package above may give one of them a name of its own."""
    children = [child for child in branch.__subclasses__() if child.__module__ == errors.__name__]
    return {branch} | {leaf for child in children for leaf in leaves(child)}


def test_the_tree_is_complete():
    assert leaves(errors.N2NSurgeryError) == set(TREE) | {errors.N2NSurgeryError, errors.CallerError}


@pytest.mark.parametrize(("error", "code"), TREE.items())
def test_every_error_has_its_documented_exit_code(error, code):
    assert error.exit_code == code


def test_our_bugs_are_not_the_callers_mistakes():
    assert {error for error in TREE if not issubclass(error, errors.CallerError)} == {errors.InternalError}
