"""A report as data, and as a page or a PDF that looks the same everywhere."""
