"""What everything else stands on: errors, names, registries, seeds, fingerprints and files. Imports nothing of ours."""
