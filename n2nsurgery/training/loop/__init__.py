"""The training loop: batches, steps, evaluation."""
