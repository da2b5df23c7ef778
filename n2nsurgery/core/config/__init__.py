"""What configs are made of: options described at their fields, and the names of devices."""
