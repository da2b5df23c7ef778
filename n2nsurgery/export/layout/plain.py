"""Everything beside sparse nodes that can lie as they do."""

from __future__ import annotations

import onnx_ir as ir

from n2nsurgery.export.layout.depthwise import keep_depthwise_plain, plain_depthwise
from n2nsurgery.export.layout.pools import keep_pools_plain, plain_max_pool
from n2nsurgery.export.layout.scaling import (
    keep_gates_plain,
    keep_normalizations_plain,
    plain_gate,
    plain_normalization,
)


def keep_plain(model: ir.Model) -> None:
    """Put depthwise convolutions, pools, normalizations and gates beside sparse nodes into their layout, in place.

    To be called when the sparse nodes are in their places.
    """
    opset, graph = model.graph.opset_imports[""], model.graph
    functions = [plain_depthwise(activation, opset) for activation in keep_depthwise_plain(graph)]
    if keep_pools_plain(graph):
        functions.append(plain_max_pool(opset))
    if keep_gates_plain(graph):
        functions.append(plain_gate(opset))
    functions += [plain_normalization(form, opset) for form in keep_normalizations_plain(graph)]
    for local in functions:
        model.functions[local.identifier()] = local
