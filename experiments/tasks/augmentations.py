"""Augmentations by name, as a setting writes them: `flip+shift=2+affine=10:0.1`.

One after the other, joined by +; behind = the numbers that `fn.augmentations` asks for, in its
order, joined by : and the others as they are by default.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from funcnn import augmentations
from funcnn.augmentations import Augmentation

NONE = "none"
"""What a setting says where there is no augmentation."""

AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "shift": augmentations.shift,
    "flip": augmentations.flip,
    "affine": augmentations.affine,
    "elastic": augmentations.elastic,
    "erase": augmentations.erase,
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


def _parse_one(text: str) -> Augmentation:
    name, given, numbers = text.partition("=")
    make = AUGMENTATIONS[name]
    return make(*map(_number, numbers.split(":"))) if given else make()


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
