"""The `funcnn` command. A command parses, calls experiments, and prints."""

from funcnn.cli.main import main
from funcnn.cli.notes import show_notes

show_notes()

__all__ = ["main"]
