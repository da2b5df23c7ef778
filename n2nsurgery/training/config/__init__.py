"""The configuration of a training run: optimizer, schedule, device and precision."""
