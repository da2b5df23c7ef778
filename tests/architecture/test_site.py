"""The site of documents: it builds without a warning, and its reference is that of the program."""

from __future__ import annotations

import re
import runpy
import warnings
from pathlib import Path
from typing import Any

import pytest
import typer
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from n2nsurgery import registries
from n2nsurgery.core.config.options import config_fields
from n2nsurgery.core.registry import Registry
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.registries import CRITERIA
from n2nsurgery_cli.main import app

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site; a broken link, a missing anchor or a page outside of the navigation is an error."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        built(ROOT / "mkdocs.yml", folder)
    return folder


def built(config: Path, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mkdocs about its own future; its findings are errors by `strict`
        build(load_config(str(config), site_dir=str(folder), strict=True))


def text_of(site: Path, page: str) -> str:
    """A page's text without its marks."""
    found = (site / page / "index.html").read_text(encoding="utf-8")
    plain = re.sub(r"<[^>]+>", "", found[found.index("<article") :])
    for mark, name in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"), ("&#124;", "|")):
        plain = plain.replace(mark, name)
    return plain


def commands(group: Any, path: str):
    for name, command in group.commands.items():
        yield from (
            commands(command, f"{path} {name}") if hasattr(command, "commands") else [(f"{path} {name}", command)]
        )


def test_every_command_stands_there_with_every_option_it_shows(site):
    text = text_of(site, "reference/commands")
    for path, command in commands(typer.main.get_command(app), "n2nsurgery"):
        assert path in text
        for parameter in command.params:
            hidden = getattr(parameter, "hidden", False)
            assert hidden or parameter.param_type_name == "argument" or parameter.opts[0] in text


def test_every_key_of_a_recipe_has_a_sentence(site):
    rows = re.findall(r"<tr>(.*?)</tr>", (site / "reference/recipes/index.html").read_text(encoding="utf-8"), re.DOTALL)
    cells = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in rows]
    keys = {row[0]: row[3] for row in cells if row}
    assert all(len(sentence.split()) > 1 for sentence in keys.values()), keys
    for name in DATA_SETS.names():
        assert keys.keys() >= {f"<code>{each.name}</code>" for each in config_fields(DATA_SETS.get(name))}
    assert {"<code>density</code>", "<code>epochs</code>", "<code>lr</code>", "<code>values</code>"} <= keys.keys()


def test_every_part_stands_there_with_what_it_is(site):
    text = text_of(site, "reference/parts")
    for name, summary in CRITERIA.summaries().items():
        assert name in text
        assert summary.split(",")[0] in text


def test_the_signature_of_a_function_shows_every_keyword(site):
    text = text_of(site, "reference/python")
    for keyword in ("skip_ratio", "max_nodes", "batch_size", "allow_import", "best_metric"):
        assert keyword in text


def test_a_broken_link_fails_the_build(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[there](nowhere.md)")
    written = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    config = re.sub(r"(?ms)^hooks:.*?(?=^\w)|^nav:.*", "", written)
    (tmp_path / "mkdocs.yml").write_text(config)
    with pytest.raises(Abort, match="strict mode"):
        built(tmp_path / "mkdocs.yml", tmp_path / "site")


def test_registries_are_all_on_the_page_of_parts(site):
    text = text_of(site, "reference/parts")
    assert all(each.kind in text for each in vars(registries).values() if isinstance(each, Registry))


def test_the_picture_is_the_one_that_its_script_draws():
    drawn = runpy.run_path(str(ROOT / "docs" / "surgery_picture.py"))["drawing"]()
    assert (ROOT / "docs" / "surgery.svg").read_text(encoding="utf-8") == drawn
