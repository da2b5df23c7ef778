"""Models of a user's own: by file, by module of the current folder, by a folder of Transformers; and their messages."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from n2nsurgery import apply
from n2nsurgery.core.errors import InvalidFileError, RunError, UnknownNameError, UsageError
from n2nsurgery.models.catalog import rebuild, resolve_model
from n2nsurgery.models.model_spec import ModelSpec
from n2nsurgery.models.sources.source import sized
from n2nsurgery.models.weights import load

CODE = """
from torch import nn
from {helper} import WIDTH

class Net(nn.Sequential):
    def __init__(self, num_classes=3):
        super().__init__(nn.Flatten(), nn.Linear(12, WIDTH), nn.ReLU(), nn.Linear(WIDTH, num_classes))

def make():
    return Net()

def _hidden():
    return None

class Needy(nn.Module):
    def __init__(self, width):
        super().__init__()

made = make()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a module of a name that no other test has, and one beside it that it imports."""
    helper = f"helper_{abs(hash(tmp_path)):x}"
    (tmp_path / f"{helper}.py").write_text("WIDTH = 5\n")
    (tmp_path / "net_of_mine.py").write_text(CODE.format(helper=helper))
    (tmp_path / f"module_{helper}.py").write_text(CODE.format(helper=helper))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shape_of(name: str, **request) -> tuple[int, ...]:
    bundle = resolve_model(name, seed=0, input_size=(3, 2, 2), **request)
    return tuple(bundle.module(*bundle.example_inputs).shape)


def test_a_class_or_function_in_a_file_is_the_model(here):
    assert shape_of("net_of_mine.py:Net") == shape_of("net_of_mine.py:make") == (2, 3)
    assert shape_of(f"{here}/net_of_mine.py:Net", num_classes=7) == (2, 7)


def test_a_module_in_the_current_folder_is_found(here):
    (module,) = here.glob("module_*.py")
    assert shape_of(f"{module.stem}:Net") == (2, 3)


@pytest.mark.usefixtures("here")
def test_what_a_file_makes_is_rebuilt_only_where_imports_are_allowed():
    spec = resolve_model("net_of_mine.py:Net", seed=0, input_size=(3, 2, 2)).spec
    assert rebuild(ModelSpec.from_text(spec.to_text())).spec == spec
    with pytest.raises(UsageError, match="--allow-import"):
        rebuild(spec, allow_import=False)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("net_of_mine.py:Nett", UnknownNameError, "net_of_mine.py has no 'Nett'; did you mean 'Net'?"),
        ("net_of_mine.py:made", UsageError, "a function or class that returns an nn.Module is needed"),
        ("net_of_mine.py:Needy", RunError, "'width'; a function that returns the model and needs no further arguments"),
        ("elsewhere.py:Net", UnknownNameError, "there is no file 'elsewhere.py'"),
        ("broken.py:Net", RunError, "'broken.py' fails while it is imported: ZeroDivisionError"),
        ("not_a_module_here:Net", UnknownNameError, "or the module in the current folder"),
        ("git@host:Net", UnknownNameError, "write package.module:factory, file.py:Net, timm:NAME or hf:FOLDER"),
    ],
)
def test_a_model_that_cannot_be_made_is_an_error_with_what_to_do(here, name, error, message):
    (here / "broken.py").write_text("1 / 0\n")
    with pytest.raises(error) as refusal:
        resolve_model(name, seed=0, input_size=(3, 2, 2))
    assert message in str(refusal.value)


def test_a_missing_shape_is_an_error_with_the_option_and_an_example_that_works():
    with pytest.raises(UsageError) as refusal:
        resolve_model("torch.nn:Identity", seed=0)
    assert refusal.value.field == "input_size"
    assert "as in: torch.nn:Identity --input-size 3x32x32" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net_of_mine.py", "as in net_of_mine.py:Net (it defines Net, make, Needy)"),
        ("model.pt", "which does not say what network they are of: name the model, and the file with --weights"),
        ("weights/best.safetensors", "as in: resnet50 --weights weights/best.safetensors"),
        ("my best.pth", "as in: resnet50 --weights 'my best.pth'"),
        ("net.onnx", "is an ONNX file, which inspect, report, verify and bench read"),
        ("microsoft/resnet-50", "is not a file or folder on this computer. Models of a hub are not fetched"),
        ("saved", "is a folder; if Transformers saved it, write hf:saved"),
        ("empty", "is a folder without a model that can be read"),
    ],
)
def test_a_path_is_never_taken_for_a_misspelled_name(here, name, message):
    (here / "saved").mkdir()
    (here / "saved" / "config.json").write_text("{}")
    (here / "empty").mkdir()
    with pytest.raises(UnknownNameError) as refusal:
        resolve_model(name, seed=0)
    assert message in str(refusal.value)
    assert "did you mean" not in str(refusal.value)


def test_an_unknown_name_tells_how_own_models_are_named():
    with pytest.raises(UnknownNameError, match=r"has no file or folder of that name; .* as in my_file\.py:MyNet"):
        resolve_model("MyNet", seed=0)


def test_torchvisions_models_have_a_prefix_as_well():
    bundle = resolve_model("torchvision:squeezenet1_1", seed=0, input_size=(64, 48))
    assert (bundle.spec.source, bundle.spec.name, bundle.spec.input_shapes) == (
        "torchvision", "squeezenet1_1", ((3, 64, 48),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "shape"),
    [((48,), (3, 48, 48)), (48, (3, 48, 48)), ((48, 40), (3, 48, 40)), ((1, 48, 40), (1, 48, 40))],
)
def test_one_size_or_two_stand_for_height_and_width(asked, shape):
    assert sized((3, 32, 32), asked) == shape


def test_num_classes_replaces_the_head_that_weights_bring(here, caplog):
    request = {"name": "net_of_mine.py:Net", "seed": 0, "input_size": (3, 2, 2)}
    original = resolve_model(**request | {"seed": 1}).module
    save_file(original.state_dict(), here / "w.safetensors")
    changed = resolve_model(**request, weights=str(here / "w.safetensors"), num_classes=7)
    assert torch.equal(changed.module[1].weight, original[1].weight)
    assert changed.module[3].weight.shape == (7, 5)
    assert "'3.bias', '3.weight' start anew, for 7 classes" in caplog.text
    save_file({name: t[..., :4].clone() for name, t in original.state_dict().items()}, here / "x.safetensors")
    with pytest.raises(InvalidFileError, match="3 of another shape"):
        resolve_model(**request, weights=str(here / "x.safetensors"), num_classes=7)


def test_a_tensor_that_the_model_uses_twice_may_be_given_once():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.second.weight = self.first.weight

    tied = Tied()
    load(tied, {"first.weight": torch.full((2, 2), 3.0)}, origin="the weights")
    assert torch.equal(tied.second.weight, torch.full((2, 2), 3.0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A tiny classifier of Transformers, saved as its users save theirs."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=20, num_labels=4, **sizes)
    folder = tmp_path_factory.mktemp("bert")
    model = transformers.BertForSequenceClassification(config)
    model.save_pretrained(folder)
    return folder, model


def test_a_folder_of_transformers_is_a_model_with_its_weights(saved):
    folder, model = saved
    bundle = resolve_model(f"hf:{folder}", seed=0)
    assert type(bundle.module) is type(model)
    assert bundle.input_names == ("input_ids",)
    assert bundle.example_inputs[0].dtype == torch.int64
    assert bundle.example_inputs[0].shape == (2, 16)
    assert int(bundle.example_inputs[0].max()) < 20
    assert all(torch.equal(bundle.module.state_dict()[name], value) for name, value in model.state_dict().items())


def test_the_weights_of_a_folder_of_transformers_keep_their_values(saved):
    folder, _ = saved
    with pytest.raises(UsageError, match="start is 'fan-in', which is for new networks and would change the weights"):
        apply(f"hf:{folder}", density=0.5, start="fan-in")


def test_a_model_of_transformers_is_built_again_without_its_folder(saved, tmp_path):
    folder, model = saved
    spec = resolve_model(f"hf:{folder}", seed=0).spec
    text = spec.to_text().replace(str(folder), str(tmp_path / "gone"))
    again = rebuild(ModelSpec.from_text(text), allow_import=False)
    assert type(again.module) is type(model)
    assert list(again.module.state_dict()) == list(model.state_dict())


def test_another_number_of_classes_replaces_the_head_of_transformers(saved):
    folder, model = saved
    changed = resolve_model(f"hf:{folder}", seed=0, num_classes=9, input_size=(5,))
    assert changed.module(*changed.example_inputs).logits.shape == (2, 9)
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    assert torch.equal(changed.module.state_dict()[name], model.state_dict()[name])


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (None, UsageError, "models are not fetched by their names"),
        ("{", InvalidFileError, "cannot be read as JSON"),
        ("{}", InvalidFileError, "names no model_type"),
        (
            {"model_type": "mine", "auto_map": {"AutoModel": "m.py:M"}},
            UsageError,
            "code that comes with a model is not",
        ),
        ({"model_type": "bert", "architectures": ["MyBert"]}, UsageError, "is a MyBert, which is not a model of"),
    ],
)
def test_a_folder_that_is_not_a_model_of_transformers_is_refused(tmp_path, config, error, message):
    pytest.importorskip("transformers")
    if config is not None:
        (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(error, match=message):
        resolve_model(f"hf:{tmp_path}", seed=0)
