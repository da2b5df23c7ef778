"""Experiments on top of the library: hyper-parameter sweeps and the results of the two papers.

Nothing but the command line imports this package.
"""
