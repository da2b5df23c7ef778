"""What everything else stands on: errors, names, registries, seeds, fingerprints, files. Imports nothing of ours."""
