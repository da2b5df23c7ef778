"""The channel graph of a network: channels as nodes, the weights between them as edges."""
