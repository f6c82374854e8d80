"""Figures of final scores with their spread: of several settings, and against the size."""
