"""What shells ask of the program, and how it answers each of them."""
