"""The parts of a data set, by the words that people call them in names of files and folders."""

import re

PARTS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "t10k"),
}


def part_of(name: str) -> str | None:
    """The part that a folder or an array of this name is, in upper or lower case, if it is one."""
    return next((part for part, words in PARTS.items() if name.lower() in words), None)


def file_part(file: str) -> str | None:
    """The part that a file is of: one of the words in its name says so, or train or test in one."""
    name = file.lower()
    parts = {part_of(word) for word in re.split(r"[^a-z]+", name)} - {None}
    if len(parts) != 1:
        parts = {part for part in ("train", "test") if any(word in name for word in PARTS[part])}
    return parts.pop() if len(parts) == 1 else None
