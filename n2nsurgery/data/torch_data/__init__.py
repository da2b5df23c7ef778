"""Data of torch.utils.data: any Dataset, and whatever yields batches."""
