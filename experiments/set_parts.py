"""The parts of a data set, by the words that people call them in names of files and folders."""

import re

PARTS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing", "t10k"),
}


def part_of(name: str) -> str | None:
    """The part that a folder or an array of this name is, in upper or lower case, if it is one."""
    return next((part for part, words in PARTS.items() if name.lower() in words), None)


def is_validation(file: str) -> bool:
    """Whether one of the words in a file's name is one for a validation set, and for no other."""
    parts = {part_of(word) for word in re.split(r"[^a-z]+", file.lower())}
    return parts - {None} == {"validation"}
