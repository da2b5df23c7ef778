"""The models of the matrix, one file for each library; `catalogue.Group` says what each has."""
