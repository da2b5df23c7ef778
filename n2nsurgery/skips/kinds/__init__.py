"""The skip kinds, one file each; `n2nsurgery.skips.kind.KINDS` finds them by file name."""
