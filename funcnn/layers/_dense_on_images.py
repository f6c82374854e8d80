"""Whether a layer gives images: so that a `Dense` that follows them by mistake is found."""

from collections.abc import Sequence

from funcnn.layers.any_layer import at_layer
from funcnn.types import Layer, Traits, traits

# Sequences are (T, F), and a Dense along F is right. Of images (C, H, W) the last axis is the
# width, which no Dense is meant for. Shapes do not tell them apart; the layer before does.
_GIVE_NONE = "Dense", "Flatten", "Reshape", "GlobalAvgPool", "GlobalMaxPool", "shape_dependent"


def dense_on_images(layers: Sequence[Layer]) -> str | None:
    """What is wrong, if one of these layers is a `Dense` on the images of a `Conv` or a pool."""
    try:
        _in_turn(layers, images=False)
    except ValueError as error:
        return str(error)
    return None


def _in_turn(layers: Sequence[Layer], images: bool) -> bool:
    for index, layer in enumerate(layers):
        try:
            images = _gives_images(layer, images)
        except ValueError as error:
            raise at_layer(index, layer, error) from None
    return images


def _gives_images(layer: Layer, images: bool) -> bool:
    """Whether y is images for an x that is or is not; of a user's own layer nothing is known."""
    own = traits(layer)
    if images and own.name == "Dense":
        raise ValueError("it would work along the width of images: put Flatten() before it")
    if own == Traits() or own.name in _GIVE_NONE:
        return False
    if own.name == "serial":
        return _in_turn(own.layers, images)
    branches = [_gives_images(branch, images) for branch in own.layers]
    return all(branches) if branches else images or own.spatial
