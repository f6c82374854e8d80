"""The same network in NumPy and in PyTorch: what differs, and why."""
