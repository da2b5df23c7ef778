"""What is grafted: skip connections as values, as alignment rules and as modules. Knows nothing about masks."""
