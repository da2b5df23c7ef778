"""The forms in which one model can be written.

portable: coded weights under operators of our domain, with functions in standard ONNX: small everywhere, fast where
the sparse runtime is registered. inlined: coded weights, standard operators only, for tools that do not inline
functions (OpenVINO). dense: ordinary tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from onnx import inliner

from n2nsurgery.core.errors import RunError
from n2nsurgery.export.config import Form
from n2nsurgery.export.files.load import MAX_BYTES
from n2nsurgery.export.layout.plain import keep_plain
from n2nsurgery.export.sparse.operators import DOMAIN
from n2nsurgery.export.sparse.portable import rewrite
from n2nsurgery.export.sparse.weight_coding import WeightCoding


def apply_form(model: ir.Model, form: Form, codings: Sequence[WeightCoding]) -> ir.Model:
    """`model` in `form`; it is changed, and only the returned model is to be used."""
    if form == "dense":
        return model
    rewrite(model, codings)
    keep_plain(model)
    return _inlined(model) if form == "inlined" else model


def _inlined(model: ir.Model) -> ir.Model:
    proto = ir.to_proto(model)
    if (size := proto.ByteSize()) > MAX_BYTES:
        raise RunError(f"the model still holds {size} bytes after coding, too many to inline; choose --format portable")
    flat = inliner.inline_local_functions(proto)
    inlined = ir.from_proto(flat)
    inlined.opset_imports.pop(DOMAIN, None)
    return inlined
