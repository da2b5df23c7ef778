"""What models are fed: data sets in splits, batches given by the caller, or noise that is named as such."""
