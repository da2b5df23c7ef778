"""From the files of a data set to a training set and a test set."""
