"""Channels multiplied by a number each, beside sparse nodes, kept in their layout.

PlainBatchNormalization takes the place of a BatchNormalization, and of the activation behind it, that no convolution
before it could take in. With a ReLU it also takes the place of a Concat before it, which is then not written.
PlainGate takes the place of a Mul by one number for each channel, as squeeze-and-excitation ends in. All are chosen
where the input is not in blocks already and a sparse node is on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.convenience import replace_nodes_and_values

from n2nsurgery.export.fusion.activations import SETTINGS, ActivationName
from n2nsurgery.export.fusion.regions import activation_after
from n2nsurgery.export.layout.neighbours import comes_from_sparse, goes_to_sparse, lies_in_blocks
from n2nsurgery.export.sparse.functions import ending, parsed
from n2nsurgery.export.sparse.operators import DOMAIN, MOST_JOINED, PLAIN_GATE, PLAIN_NORMALIZATION

_PARAMETERS = 4  # scale, B, mean, var
_BEFORE_PIXELS = 2  # axes: images, channels


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """A form of PlainBatchNormalization: the activation behind it, and the inputs that it joins along the channels."""

    activation: ActivationName | None = None
    parts: int = 1

    @property
    def name(self) -> str:
        """The operator's type in the file."""
        joined = f"PlainJoined{self.parts}BatchNormalization" if self.parts > 1 else PLAIN_NORMALIZATION
        return f"{joined}{self.activation or ''}"


def plain_normalization(form: Normalization, opset: int) -> ir.Function:
    """The function of this form of PlainBatchNormalization."""
    activation = form.activation
    attributes = ", ".join(("epsilon", *SETTINGS.get(activation or "", ())))
    sources = ["X"] if form.parts == 1 else [f"X{number}" for number in range(1, form.parts + 1)]
    join = f"X = Concat <axis = 1> ({', '.join(sources)})\n" if form.parts > 1 else ""
    body = f"{join}result = BatchNormalization <epsilon: float = @epsilon> (X, scale, B, mean, var)"
    signature = f"{form.name} <{attributes}> ({', '.join(sources)}, scale, B, mean, var) => (Y)"
    return parsed(signature, ending(body, "result", activation), opset)


def plain_gate(opset: int) -> ir.Function:
    """The function of PlainGate."""
    return parsed(f"{PLAIN_GATE} (X, gate) => (Y)", "Y = Mul (X, gate)", opset)


def keep_normalizations_plain(graph: ir.Graph) -> Sequence[Normalization]:
    """Puts PlainBatchNormalization where it pays; the forms that it was put in.

    To be called when the sparse nodes are in their places.
    """
    chosen: dict[Normalization, None] = {}
    for node in tuple(graph):
        if _normalizes(node) and _pays(node.inputs[0], node.outputs[0]):
            chosen[_replace_normalization(graph, node)] = None
    return tuple(chosen)


def keep_gates_plain(graph: ir.Graph) -> bool:
    """Puts PlainGate where it pays; True if there was such a place. To be called as keep_normalizations_plain."""
    chosen = False
    for node in tuple(graph):
        operands = _gated(node)
        if operands is not None and _pays(operands[0], node.outputs[0]):
            plain = ir.node(PLAIN_GATE, operands, domain=DOMAIN, name=node.name)
            replace_nodes_and_values(graph, node, [node], [plain], node.outputs, plain.outputs)
            chosen = True
    return chosen


def _pays(source: ir.Value | None, result: ir.Value) -> bool:
    assert source is not None
    return not lies_in_blocks(source) and (comes_from_sparse(source) or goes_to_sparse(result))


def _normalizes(node: ir.Node) -> bool:
    """The kernel computes it: with fixed statistics, in float32."""
    if node.domain or node.op_type != "BatchNormalization" or node.attributes.get_int("training_mode", 0) != 0:
        return False
    if len([output for output in node.outputs if output.uses() or output.is_graph_output()]) != 1:
        return False
    source, *parameters = node.inputs
    if source is None or source.shape is None or len(source.shape) <= _BEFORE_PIXELS:
        return False
    constants = [value for value in parameters if value is not None and value.const_value is not None]
    return len(constants) == _PARAMETERS and all(
        value.const_value is not None and value.const_value.dtype == ir.DataType.FLOAT for value in constants
    )


def _replace_normalization(graph: ir.Graph, node: ir.Node) -> Normalization:
    activation, following = activation_after(node.outputs[0]) or (None, ())
    name = activation.name if activation else None
    join = _join_before(node) if name == "Relu" else None
    sources = node.inputs[:1] if join is None else join.inputs
    form = Normalization(activation=name, parts=len(sources))
    nodes = (node, *following) if join is None else (join, node, *following)
    attributes = {"epsilon": node.attributes.get_float("epsilon", 1e-5), **(activation.settings if activation else {})}
    plain = ir.node(form.name, [*sources, *node.inputs[1:]], attributes, domain=DOMAIN, name=node.name)
    replace_nodes_and_values(graph, nodes[-1], nodes[::-1], [plain], nodes[-1].outputs[:1], plain.outputs)
    return form


def _join_before(node: ir.Node) -> ir.Node | None:
    """The Concat along the channels that this normalization alone reads and whose inputs it can read in its place."""
    source = node.inputs[0]
    join = source.producer() if source is not None else None
    if source is None or join is None or join.domain or join.op_type != "Concat" or join.graph is not node.graph:
        return None
    rank = len(source.shape or ())
    along_channels = join.attributes.get_int("axis", 0) in {1, 1 - rank}
    alone = len(source.uses()) == 1 and not source.is_graph_output()
    return join if along_channels and alone and 1 < len(join.inputs) <= MOST_JOINED else None


def _gated(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """What a Mul multiplies, and the one number for each channel that it multiplies it by."""
    if node.domain or node.op_type != "Mul":
        return None
    first, second = node.inputs
    assert first is not None
    assert second is not None
    for source, gate in ((first, second), (second, first)):
        if source.dtype == ir.DataType.FLOAT and gate.const_value is None and _is_gate(gate.shape, source.shape):
            return source, gate
    return None


def _is_gate(gate: ir.Shape | None, source: ir.Shape | None) -> bool:
    if gate is None or source is None or len(gate) != len(source) or len(source) <= _BEFORE_PIXELS:
        return False
    same = all(
        a == b and not (isinstance(a, ir.SymbolicDim) and a.value is None)
        for a, b in zip(gate[:_BEFORE_PIXELS], source[:_BEFORE_PIXELS], strict=True)
    )
    return same and all(size == 1 for size in gate[_BEFORE_PIXELS:])
