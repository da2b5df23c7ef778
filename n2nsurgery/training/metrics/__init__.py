"""What is measured during training, and its history."""
