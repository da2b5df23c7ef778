"""The accuracies of the N2NSkip paper; their deviations over three runs are printed only in its slides.

Source: "N2NSkip: Learning Highly Sparse Networks using Neuron-to-Neuron Skip Connections", BMVC 2019, Tables 1 and 2.
"""

from __future__ import annotations

SOURCE = "N2NSkip: Learning Highly Sparse Networks using Neuron-to-Neuron Skip Connections (BMVC 2019)"
CIFAR_DENSITIES = (0.1, 0.05, 0.02)
IMAGENET_DENSITIES = (0.5, 0.3, 0.2)
Printed = tuple[float, float]
"""Mean and standard deviation of test accuracy, in percent."""

_BASELINES: dict[tuple[str, str], Printed] = {
    ("VGG19", "CIFAR-10"): (93.16, 0.12),
    ("VGG19", "CIFAR-100"): (74.09, 0.15),
    ("ResNet50", "CIFAR-10"): (95.33, 0.11),
    ("ResNet50", "CIFAR-100"): (74.94, 0.13),
    ("ResNet50", "ImageNet"): (74.70, 0.26),
}
_ROWS: dict[tuple[str, str, str], tuple[Printed, Printed, Printed]] = {
    ("VGG19", "CIFAR-10", "RP"): ((92.08, 0.36), (89.43, 0.75), (86.52, 1.75)),
    ("VGG19", "CIFAR-10", "N2NSkip-RP"): ((92.92, 0.19), (92.65, 0.25), (91.12, 0.36)),
    ("VGG19", "CIFAR-10", "CSP"): ((92.79, 0.23), (92.14, 0.47), (90.35, 0.98)),
    ("VGG19", "CIFAR-10", "N2NSkip-CSP"): ((93.02, 0.13), (92.86, 0.19), (92.12, 0.29)),
    ("VGG19", "CIFAR-100", "RP"): ((71.23, 0.26), (69.82, 0.65), (55.43, 1.94)),
    ("VGG19", "CIFAR-100", "N2NSkip-RP"): ((72.67, 0.23), (72.13, 0.31), (61.21, 0.42)),
    ("VGG19", "CIFAR-100", "CSP"): ((72.83, 0.27), (71.92, 0.68), (59.92, 1.21)),
    ("VGG19", "CIFAR-100", "N2NSkip-CSP"): ((73.72, 0.16), (73.05, 0.25), (65.45, 0.41)),
    ("ResNet50", "CIFAR-10", "RP"): ((88.53, 0.21), (86.17, 0.39), (83.33, 0.93)),
    ("ResNet50", "CIFAR-10", "N2NSkip-RP"): ((91.59, 0.16), (89.14, 0.24), (87.67, 0.51)),
    ("ResNet50", "CIFAR-10", "CSP"): ((93.15, 0.15), (92.25, 0.27), (89.12, 0.36)),
    ("ResNet50", "CIFAR-10", "N2NSkip-CSP"): ((94.37, 0.12), (93.59, 0.21), (92.26, 0.31)),
    ("ResNet50", "CIFAR-100", "RP"): ((67.72, 0.25), (62.28, 0.42), (51.11, 1.01)),
    ("ResNet50", "CIFAR-100", "N2NSkip-RP"): ((70.45, 0.14), (67.56, 0.28), (60.19, 0.51)),
    ("ResNet50", "CIFAR-100", "CSP"): ((69.29, 0.22), (65.73, 0.34), (55.02, 0.79)),
    ("ResNet50", "CIFAR-100", "N2NSkip-CSP"): ((72.37, 0.15), (70.43, 0.27), (63.16, 0.48)),
    ("ResNet50", "ImageNet", "RP"): ((72.46, 0.32), (68.65, 0.45), (65.32, 0.97)),
    ("ResNet50", "ImageNet", "N2NSkip-RP"): ((74.12, 0.29), (71.19, 0.39), (70.03, 0.51)),
    ("ResNet50", "ImageNet", "CSP"): ((73.42, 0.29), (70.42, 0.37), (68.67, 0.65)),
    ("ResNet50", "ImageNet", "N2NSkip-CSP"): ((74.59, 0.22), (72.89, 0.33), (72.09, 0.45)),
}


def printed(network: str, dataset: str, method: str, density: float) -> Printed | None:
    """What the paper reports for a cell of its tables, None for what it does not have."""
    if method == "dense":
        return _BASELINES.get((network, dataset))
    densities = IMAGENET_DENSITIES if dataset == "ImageNet" else CIFAR_DENSITIES
    row = _ROWS.get((network, dataset, method))
    return row[densities.index(density)] if row is not None and density in densities else None
