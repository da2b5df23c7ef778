"""From samples to batches: splits, augmentation, normalization and loading."""
