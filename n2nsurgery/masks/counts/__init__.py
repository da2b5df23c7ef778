"""How many weights are kept: exact budgets, allocations to layers, exact top-k."""
