"""From a configuration and a layer graph to a plan."""
