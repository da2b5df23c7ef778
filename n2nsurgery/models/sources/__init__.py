"""Where models come from: built-in families, torchvision, timm, a factory of the user."""
