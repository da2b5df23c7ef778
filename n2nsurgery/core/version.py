"""The version of the package; it is written nowhere else."""

__version__ = "1.0.0rc1"
