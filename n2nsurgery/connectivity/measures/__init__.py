"""What a metric of connectivity measures, and the form of its results."""
