"""Truly sparse training on a CPU: forward and backward passes that compute kept weights only.

`sparse_training(module)` is the sparse twin of a pruned module, for any loop and any optimizer; `to_dense(twin)` is the
module again, with what was learnt. `choices_of(twin)` says what each layer is computed with, and why.
"""

from n2nsurgery.sparse_training.choice import LayerChoice as LayerChoice
from n2nsurgery.sparse_training.functions.pattern import SparsePattern as SparsePattern
from n2nsurgery.sparse_training.modules.layers import SparseConv as SparseConv
from n2nsurgery.sparse_training.modules.layers import SparseLinear as SparseLinear
from n2nsurgery.sparse_training.twin import choices_of as choices_of
from n2nsurgery.sparse_training.twin import sparse_training as sparse_training
from n2nsurgery.sparse_training.twin import to_dense as to_dense

__all__ = ["LayerChoice", "SparseConv", "SparseLinear", "SparsePattern", "choices_of", "sparse_training", "to_dense"]
