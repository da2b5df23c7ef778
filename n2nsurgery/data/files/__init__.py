"""Reading the file formats of data sets, from disk or after a download."""
