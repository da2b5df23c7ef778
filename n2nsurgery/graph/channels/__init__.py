"""Follows the channels of a network from its input to its output, whatever framework the network comes from.

A front end (torch in this package, ONNX in `export`) tells what a network does as a `Program` of steps; `follow` turns
a program into a `ChannelFlow`: which channels are nodes, and which of them every weighted layer reads and writes.
"""
