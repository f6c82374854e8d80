"""Data sets by name or path: found, verified, read, split and normalised."""
