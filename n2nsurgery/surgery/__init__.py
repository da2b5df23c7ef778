"""From a request to an operated network: config -> planner -> plan -> operate or replay; masks kept; artifacts."""
