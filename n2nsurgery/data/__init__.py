"""What patients are fed: batches given by the caller, or noise that is named as such."""
