"""Numbers in, PNG files out; nothing here reads a file."""
