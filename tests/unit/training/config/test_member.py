from __future__ import annotations

import pytest

from n2nsurgery.core.errors import UnknownNameError
from n2nsurgery.core.registry import Registry
from n2nsurgery.training.config.member import made


class Plain:
    """A class that is no dataclass, and has no options."""


def test_a_class_without_fields_is_made_and_has_no_options():
    losses = Registry[type[object]](kind="loss", package="n2nsurgery.training.losses")
    losses.register("plain")(Plain)
    assert isinstance(made(losses, "plain", {}, "loss_options"), Plain)
    with pytest.raises(UnknownNameError, match="option of the loss 'plain' in loss_options"):
        made(losses, "plain", {"gamma": 2}, "loss_options")
