"""Augmentations by name, as a setting writes them: `flip+shift=2+affine=10:0.1`.

One after the other, joined by +; behind = the numbers that each asks for, in its order, joined by
: and the others as they are by default.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from funcnn import augmentations
from funcnn.augmentations import Augmentation

NONE = "none"
"""What a setting says where there is no augmentation."""


def _erase(p: float = 0.5, least: float = 0.02, most: float = 0.33) -> Augmentation:
    """least, most: the share of an image, of bytes, that a rectangle covers."""
    return augmentations.erase(p, (least, most))


AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "shift": augmentations.shift,
    "flip": augmentations.flip,
    "affine": augmentations.affine,
    "elastic": augmentations.elastic,
    "erase": _erase,
}
"""Those that change images alone: the accuracy of an epoch is that of its own labels."""


class Augmentations(NamedTuple):
    """A setting that names some, or none."""

    def wrong(self, value: Any) -> str | None:
        """As `Kind.wrong` of a setting."""
        expected = f"{NONE}, or some of {', '.join(AUGMENTATIONS)}, as flip+shift=2"
        if not isinstance(value, str) or not value:
            return expected
        try:
            parse_augmentations(value)
        except KeyError:
            return expected
        except (TypeError, ValueError) as error:
            return f"{expected} ({error})"
        return None


def parse_augmentations(text: str) -> Augmentation | None:
    """What a setting names; None: nothing.

    Raises `KeyError` for a name that there is not, `ValueError` or `TypeError` for what is wrong
    with its numbers.
    """
    if text == NONE:
        return None
    return augmentations.chain(*map(_parse_one, text.split("+")))


def augmentation_numbers(text: str) -> list[tuple[str, dict[str, float]]]:
    """What a good setting names, in its order, each with all its numbers by their names."""
    found = []
    for each in [] if text == NONE else text.split("+"):
        name, given, numbers = each.partition("=")
        asked = _numbers_of(name)
        told = {one.name: one.default for one in asked}
        if given:
            told |= zip((one.name for one in asked), map(_number, numbers.split(":")), strict=False)
        found.append((name, told))
    return found


def _parse_one(text: str) -> Augmentation:
    name, given, numbers = text.partition("=")
    make = AUGMENTATIONS[name]
    values = list(map(_number, numbers.split(":"))) if given else []
    if len(values) > (most := len(_numbers_of(name))):
        raise ValueError(f"{name} takes {most} numbers at most, got {len(values)}")
    return make(*values)


def _numbers_of(name: str) -> list[inspect.Parameter]:
    """The numbers that an augmentation asks for, in its order."""
    return list(inspect.signature(AUGMENTATIONS[name]).parameters.values())


def _number(text: str) -> float:
    """An integer where it is written as one: `shift` takes no other."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
