"""TracedModule: a model whose forward is an fx graph, over the very modules of the original.

The tree of modules, and so every state_dict key, stays that of the original. There is one graph per mode; where
train and eval mode have the same structure, both names stand for the same graph. Everything that nn.Module offers
(deepcopy, `.to`, `.train`, state_dict, DDP, torch.compile, pickling by `torch.save`, spawn or Ray) works unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx, nn

from n2nsurgery.graph.tracing.stored_graph import restored, stored


def _forward_of(graph: fx.Graph, root: nn.Module) -> Callable[..., Any]:
    forward: Callable[..., Any] = type(fx.GraphModule(root, graph)).forward
    graph.owning_module = None  # the GraphModule was only its compiler
    return forward


class TracedModule(nn.Module):
    """The module `root` with its forward replaced by `train_graph` and `eval_graph`.

    Takes `root` over: its parameters, buffers, submodules, hooks and plain attributes become those of the new module.
    """

    def __init__(self, root: nn.Module, *, train_graph: fx.Graph, eval_graph: fx.Graph) -> None:
        super().__init__()
        self.__dict__.update(root.__dict__)
        self.train_graph = train_graph
        self.eval_graph = eval_graph
        self.original_class = f"{type(root).__module__}.{type(root).__qualname__}"
        self.recompile()

    @property
    def graphs(self) -> tuple[fx.Graph, ...]:
        """The distinct graphs: one, or the train-mode and the eval-mode graph."""
        return (self.eval_graph,) if self.train_graph is self.eval_graph else (self.train_graph, self.eval_graph)

    @property
    def graph(self) -> fx.Graph:
        """The graph of the present mode."""
        return self.train_graph if self.training else self.eval_graph

    def recompile(self) -> None:
        """Make forward follow the graphs again; call it after editing one."""
        self._eval_forward = _forward_of(self.eval_graph, self)
        same = self.train_graph is self.eval_graph
        self._train_forward = self._eval_forward if same else _forward_of(self.train_graph, self)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the compiled forwards, which belong to no module that could be imported again."""
        state = {key: value for key, value in self.__dict__.items() if key not in {"_eval_forward", "_train_forward"}}
        graphs = {graph: stored(graph) for graph in self.graphs}
        return state | {"train_graph": graphs[self.train_graph], "eval_graph": graphs[self.eval_graph]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        train_graph, eval_graph = state["train_graph"], state["eval_graph"]
        self.eval_graph = restored(eval_graph)
        self.train_graph = self.eval_graph if train_graph is eval_graph else restored(train_graph)
        self.recompile()

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the original's signature
        """What the original's forward returns."""
        return (self._train_forward if self.training else self._eval_forward)(self, *args, **kwargs)

    def extra_repr(self) -> str:
        """The class that was traced."""
        return f"traced from {self.original_class}"
