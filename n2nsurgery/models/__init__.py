"""Models by name, from built-in families, torchvision, timm or an importable factory."""
