"""Everything beside sparse nodes that can lie as they do."""

from __future__ import annotations

import onnx_ir as ir

from n2nsurgery.export.layout.depthwise import keep_depthwise_plain, plain_depthwise
from n2nsurgery.export.layout.pools import keep_pools_plain, plain_max_pool


def keep_plain(model: ir.Model) -> None:
    """Put depthwise convolutions and pools beside sparse nodes into their layout, in place.

    To be called when the sparse nodes are in their places.
    """
    opset = model.graph.opset_imports[""]
    functions = [plain_depthwise(activation, opset) for activation in keep_depthwise_plain(model.graph)]
    if keep_pools_plain(model.graph):
        functions.append(plain_max_pool(opset))
    for local in functions:
        model.functions[local.identifier()] = local
