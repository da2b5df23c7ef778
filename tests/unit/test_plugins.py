from __future__ import annotations

import sys

import pytest

from n2nsurgery.core.errors import UsageError
from n2nsurgery.plugins import import_plugins


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, empty; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_in_the_current_folder_is_imported(folder):
    (folder / "my_plugin.py").write_text("VALUE = 7")
    import_plugins(["my_plugin"])
    assert sys.modules["my_plugin"].VALUE == 7


def test_a_module_of_a_package_is_imported(folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "score.py").write_text("VALUE = 8")
    import_plugins(["mine.score"])
    assert sys.modules["mine.score"].VALUE == 8


@pytest.mark.parametrize("name", ["my-plugin", "my_plugin.py:thing", "../my_plugin", "", ".mine"])
def test_what_is_not_a_modules_name_is_refused(name):
    with pytest.raises(UsageError, match=r"is not the name of a module; give it as in `import`: package\.module"):
        import_plugins([name])


def test_a_module_that_is_missing_is_refused_with_the_folder_that_was_looked_in(folder):
    with pytest.raises(UsageError, match="the plugin 'my_plugin' is not found; install its package") as caught:
        import_plugins(["my_plugin"])
    assert str(folder) in str(caught.value)


def test_a_module_that_needs_a_missing_one_names_it(folder):
    (folder / "my_plugin.py").write_text("import a_package_that_is_missing")
    with pytest.raises(UsageError, match="the plugin 'my_plugin' needs the module 'a_package_that_is_missing'"):
        import_plugins(["my_plugin"])


def test_a_module_that_fails_says_how(folder):
    (folder / "my_plugin.py").write_text("1 / 0")
    with pytest.raises(UsageError, match="fails while it is imported: ZeroDivisionError: division by zero"):
        import_plugins(["my_plugin"])
