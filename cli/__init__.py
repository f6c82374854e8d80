"""The `funcnn` command. A command parses, calls experiments, and prints."""

from funcnn.cli.main import main

__all__ = ["main"]
