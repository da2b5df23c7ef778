"""From what is asked of a network to how many weights every layer and skip keeps."""
