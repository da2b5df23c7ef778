"""From a request to a pruned network: config -> planner -> plan -> prune or replay; masks enforced; artifacts."""
