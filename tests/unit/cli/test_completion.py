"""TAB: the commands, options and values that a shell is offered, as bash, zsh and fish ask for them."""

from __future__ import annotations

import pytest

from n2nsurgery.experiments.paper.reproduction import EXPERIMENTS
from n2nsurgery.models.catalog import list_models
from n2nsurgery.recipe.shipped import shipped
from n2nsurgery_cli import completion


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two artifacts, a run, recipes and a file, as apply, train and export leave them."""
    for marker in ("exported/one/manifest.json", "exported/two/manifest.json", "runs/first/run.json"):
        (tmp_path / marker).parent.mkdir(parents=True)
        (tmp_path / marker).touch()
    (tmp_path / "runs" / "stray").mkdir()
    (tmp_path / "recipes").mkdir()
    for name in ("exported/one.onnx", "own.yaml", "recipes/smoke.yaml", "recipes/.hidden.yaml", "recipes/notes.txt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def offered(program, monkeypatch):
    """What a shell is offered for the last word of a command line."""

    def ask(line, shell="bash"):
        monkeypatch.setenv("_N2NSURGERY_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        finished = program()
        assert (finished.code, finished.stderr) == (0, "")
        return finished.stdout

    return ask


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("n2nsurgery re", ["report", "reproduce", "recipe"]),
        ("n2nsurgery apply --floor-l", ["--floor-layer"]),
        ("n2nsurgery apply cifar-v", ["cifar-vgg19"]),
        ("n2nsurgery apply wide_resnet5", ["wide_resnet50_2"]),
        ("n2nsurgery apply mlp --criterion s", ["snip", "synflow"]),
        ("n2nsurgery apply mlp --skip r", ["residual"]),
        ("n2nsurgery train ", ["own.yaml", "recipes/smoke.yaml", *(f"recipe:{name}" for name in shipped())]),
        ("n2nsurgery recipe check recipes", ["recipes/smoke.yaml"]),
        ("n2nsurgery sweep recipe:smo", ["recipe:smoke"]),
        ("n2nsurgery export ", ["exported/one", "exported/two", "runs/first"]),
        ("n2nsurgery eval ru", ["runs/first"]),
        ("n2nsurgery eval runs/first --data cifar100", ["cifar100"]),
        ("n2nsurgery report exported/o", ["exported/one", "exported/one.onnx"]),
        ("n2nsurgery verify ", ["exported/one.onnx"]),
        ("n2nsurgery reproduce table", ["table1", "table2", "table3"]),
    ],
)
def test_values_are_completed(offered, line, expected):
    assert [name for name in offered(line).split() if name != "table4"] == expected


@pytest.mark.parametrize(
    ("words", "current", "expected"),
    [
        (["n2nsurgery", "train", "recipe", ":", "cifar10-s"], 4, "cifar10-small"),
        (["n2nsurgery", "apply", "torchvision", ":", "wide_resnet5"], 4, "wide_resnet50_2"),
        (["n2nsurgery", "recipe", "check", "recipe", ":"], 4, "cifar10-accurate cifar10-resnet50 cifar10-small"),
        (["n2nsurgery", "train", "recipe", ":", "smoke", "--dev"], 5, "--device"),
    ],
)
def test_bash_which_splits_words_at_colons_is_offered_what_follows_the_colon(
    program, monkeypatch, words, current, expected
):
    monkeypatch.setenv("_N2NSURGERY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(current))
    answer = program().stdout.split()
    assert answer[: len(expected.split())] == expected.split()
    assert not any(":" in name for name in answer)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_answered_in_its_own_form(offered, shell):
    answer = offered("n2nsurgery apply squeezenet1_", shell)
    assert "squeezenet1_0" in answer
    assert "squeezenet1_1" in answer


def test_completed_models_are_those_that_apply_takes():
    assert sorted(completion.models("")) == sorted(list_models())


def test_completed_experiments_are_those_that_reproduce_takes():
    assert completion.experiments("") == sorted(EXPERIMENTS.names())


@pytest.mark.usefixtures("here")
def test_a_pattern_in_the_text_is_not_an_error():
    assert completion.artifacts("[") == []
    assert completion.artifacts("/no/such/place/") == []
    assert completion.recipes("**") == []


def test_an_absolute_path_is_completed(here):
    assert completion.artifacts(f"{here}/exported/t") == [f"{here}/exported/two"]


@pytest.mark.parametrize(
    ("shell", "begins"), [("bash", "_n2nsurgery_completion()"), ("zsh", "#compdef"), ("fish", "complete ")]
)
def test_the_completion_of_a_named_shell_is_shown_and_installed(program, tmp_path, monkeypatch, shell, begins):
    monkeypatch.setenv("HOME", str(tmp_path))
    shown = program("--show-completion", shell)
    assert (shown.code, shown.stdout[: len(begins)]) == (0, begins)
    installed = program("--install-completion", shell)
    assert (installed.code, installed.stdout.split()[0]) == (0, shell)
    assert any(path.is_file() and shown.stdout.strip() in path.read_text() for path in tmp_path.rglob("*"))


def test_a_shell_without_completion_is_named_with_those_that_have_it(program):
    finished = program("--show-completion", "tcsh")
    assert finished.code == 2
    assert "no completion for 'tcsh'; there is for bash, zsh, fish, powershell, pwsh" in finished.stderr
