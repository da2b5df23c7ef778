"""What follows a layer and is computed by its sparse node: recognized in the graph by what it computes."""
