"""What a torch module does to its channels, recorded while it runs."""
