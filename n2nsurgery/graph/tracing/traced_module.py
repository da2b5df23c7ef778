"""TracedModule: a model whose forward is an fx graph, over the very modules of the original.

The tree of modules, and so every state_dict key, stays that of the original. There is one graph per mode; where
train and eval mode have the same structure, both names stand for the same graph. Names of its own begin with `n2n_`;
all others are the model's, which may have a submodule called `graph`. Everything that nn.Module offers (deepcopy,
`.to`, `.train`, state_dict, DDP, torch.compile, pickling by `torch.save`, spawn or Ray) works unchanged.

A node of torch.fx refers to its neighbours; pickle would follow them through the whole network and run out of stack. So
a module is pickled, and copied, with flat records of its nodes. What tracing noted for itself (values, memory) stays
behind. We never unpickle anything ourselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.fx.node import map_aggregate

from n2nsurgery.core.errors import TraceError, UsageError
from n2nsurgery.graph.model_inputs import holds_tensor

_META = ("address", "module", "shapes", "complex", "mutated")  # what pairs, skips and copies of the module read


@dataclass(frozen=True, kw_only=True)
class NodeName:
    """Stands for the node of this name in the arguments of another."""

    name: str


@dataclass(frozen=True, kw_only=True)
class NodeRecord:
    """One node: fields as in torch.fx, with nodes among the arguments as `NodeName`."""

    name: str
    op: str
    target: Any
    args: Any
    kwargs: Any
    meta: dict[str, Any]


def forward_of(graph: fx.Graph) -> Callable[..., Any]:
    """What `graph` computes, as a method of a module that has its submodules."""
    compiler = fx.GraphModule(nn.Module(), fx.Graph())  # of a root it would copy modules, whatever they are called
    compiler.graph = graph
    forward: Callable[..., Any] = type(compiler).forward
    graph.owning_module = None  # the GraphModule was only its compiler
    return forward


class TracedModule(nn.Module):
    """The module `root` with its forward replaced by `train_graph` and `eval_graph`.

    Takes `root` over: its parameters, buffers, submodules, hooks and plain attributes become those of the new module.
    `arguments`: the examples of the trace by argument; those without a tensor are constants of the graphs. `unusable`:
    why the graphs show the model's layers but cannot be run in its place; None where they can.
    """

    def __init__(
        self,
        root: nn.Module,
        *,
        train_graph: fx.Graph,
        eval_graph: fx.Graph,
        arguments: Mapping[str, Any] | None = None,
        unusable: str | None = None,
    ) -> None:
        super().__init__()
        self.__dict__.update(root.__dict__)
        self.n2n_train_graph = train_graph
        self.n2n_eval_graph = eval_graph
        given = dict(arguments or {})
        self.n2n_arguments = tuple(given)
        self.n2n_constants = {name: value for name, value in given.items() if not holds_tensor(value)}
        self.n2n_unusable = unusable
        self.n2n_class = f"{type(root).__module__}.{type(root).__qualname__}"
        self.recompile()

    @property
    def n2n_graphs(self) -> tuple[fx.Graph, ...]:
        """The distinct graphs: one, or the train-mode and the eval-mode graph."""
        graphs = (self.n2n_train_graph, self.n2n_eval_graph)
        return graphs[1:] if graphs[0] is graphs[1] else graphs

    @property
    def n2n_graph(self) -> fx.Graph:
        """The graph of the present mode."""
        return self.n2n_train_graph if self.training else self.n2n_eval_graph

    def recompile(self) -> None:
        """Make forward follow the graphs again; call it after editing one."""
        self._n2n_eval_forward = forward_of(self.n2n_eval_graph)
        same = self.n2n_train_graph is self.n2n_eval_graph
        self._n2n_train_forward = self._n2n_eval_forward if same else forward_of(self.n2n_train_graph)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the compiled forwards, which belong to no module that could be imported again."""
        compiled = {"_n2n_eval_forward", "_n2n_train_forward"}
        state = {key: value for key, value in self.__dict__.items() if key not in compiled}
        graphs = {graph: _stored(graph) for graph in self.n2n_graphs}
        return state | {"n2n_train_graph": graphs[self.n2n_train_graph], "n2n_eval_graph": graphs[self.n2n_eval_graph]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        train_graph, eval_graph = state["n2n_train_graph"], state["n2n_eval_graph"]
        self.n2n_eval_graph = _restored(eval_graph)
        self.n2n_train_graph = self.n2n_eval_graph if train_graph is eval_graph else _restored(train_graph)
        self.recompile()

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the original's signature
        """What the original's forward returns; UsageError where an argument is another constant than was traced.

        Raises TraceError where the graphs cannot be run.
        """
        if self.n2n_unusable is not None:
            raise TraceError(f"the graph of {self.n2n_class} cannot be run in its place: {self.n2n_unusable}")
        if self.n2n_constants:
            args, kwargs = (), self._variable(args, kwargs)
        return (self._n2n_train_forward if self.training else self._n2n_eval_forward)(self, *args, **kwargs)

    def _variable(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name without those that are constants of the graphs."""
        given = {**dict(zip(self.n2n_arguments, args, strict=False)), **kwargs}
        for name, constant in self.n2n_constants.items():
            value = given.pop(name, constant)
            if value is not constant and value != constant:
                raise UsageError(
                    f"was {constant!r} when {self.n2n_class} was traced, so its graph cannot take {value!r}; "
                    "take the engine 'hooks', or trace again",
                    field=name,
                    joint=" ",
                )
        return given

    def extra_repr(self) -> str:
        """The class that was traced."""
        return f"traced from {self.n2n_class}"


def _stored(graph: fx.Graph) -> tuple[NodeRecord, ...]:
    """The nodes of `graph` in their order."""
    return tuple(_record(node) for node in graph.nodes)


def _restored(records: tuple[NodeRecord, ...]) -> fx.Graph:
    """A new graph with the nodes of `records`, under the same names."""
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}

    def node_of(value: Any) -> Any:  # noqa: ANN401 - an argument
        return nodes[value.name] if isinstance(value, NodeName) else value

    for record in records:
        args, kwargs = map_aggregate(record.args, node_of), map_aggregate(record.kwargs, node_of)
        node = graph.create_node(record.op, record.target, args, kwargs, name=record.name)
        node.meta.update(record.meta)
        nodes[record.name] = node
    return graph


def _record(node: fx.Node) -> NodeRecord:
    meta = {key: node.meta[key] for key in _META if key in node.meta}
    args, kwargs = map_aggregate(node.args, _name_of), map_aggregate(node.kwargs, _name_of)
    return NodeRecord(name=node.name, op=node.op, target=node.target, args=args, kwargs=kwargs, meta=meta)


def _name_of(value: Any) -> Any:  # noqa: ANN401 - an argument
    return NodeName(name=value.name) if isinstance(value, fx.Node) else value
