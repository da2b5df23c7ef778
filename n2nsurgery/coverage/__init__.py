"""How much of what others build is served: models of six libraries and small ones of our own, one row for each."""
