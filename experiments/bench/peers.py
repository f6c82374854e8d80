"""Who takes part in the benchmark, and what each must be able to do."""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from funcnn.experiments.bench.nets import Net
from funcnn.types import Array


class Learner(Protocol):
    """A net in a peer's hands. It is made with its examples in the peer's own form, then started.

    It minimizes the mean cross-entropy by SGD, with momentum and weight decay as torch has them.
    """

    def start(self) -> None:
        """Begin with the net's first params."""

    def step(self, rows: Array | None) -> float:
        """One step on these examples, or on all of them; the loss before it, as a Python float."""

    def predict(self) -> Array:
        """The outputs for the test examples: logits, or probabilities where the peer has those."""

    def predict_one(self) -> Array:
        """The outputs for the first test example alone, `(1, ...)`."""

    def evaluate(self) -> tuple[float, float]:
        """Loss and accuracy on the test examples."""


class Peer(NamedTuple):
    """A peer: its name in words, what it needs, and which nets it can do."""

    title: str
    module: str
    """In `funcnn.experiments`; it alone imports what the peer needs."""
    needs: str
    """What Python must be able to import."""
    package: str
    """What pip calls that."""
    options: Mapping[str, Any] = {}
    dense: bool = True
    images: bool = True
    binary: bool = True

    def fits(self, net: Net) -> bool:
        """Whether it can do a net."""
        return (self.images if net.channels else self.dense) and (self.binary or not net.binary)

    @property
    def installed(self) -> bool:
        """Whether what it needs is installed."""
        return importlib.util.find_spec(self.needs) is not None

    def load(self) -> Any:
        """Its module: the class `Learner(net, **options)`, and `limits(threads)`, a context.

        Raises `ImportError` where what it needs is missing or broken.
        """
        return importlib.import_module(f"funcnn.experiments.{self.module}")


PEERS = {
    "funcnn": Peer("funcnn", "bench.peer_funcnn", "numpy", "numpy"),
    "funcnn-compiled": Peer(
        "funcnn compile=True", "bench.peer_funcnn", "numpy", "numpy", options={"compile": True}
    ),
    "torch": Peer("PyTorch", "bench.peer_torch", "torch", "torch"),
    "torch-channels-last": Peer(
        "PyTorch channels_last",
        "bench.peer_torch",
        "torch",
        "torch",
        options={"channels_last": True},
        dense=False,
    ),
    "jax": Peer("JAX jit", "bench.peer_jax", "jax", "jax"),
    "scikit-learn": Peer(
        "scikit-learn", "bench.peer_sklearn", "sklearn", "scikit-learn", images=False, binary=False
    ),
    "products": Peer(
        "the products of matrices alone", "bench.peer_products", "numpy", "numpy", binary=False
    ),
}
PACKAGES = tuple(dict.fromkeys(peer.package for peer in PEERS.values()))
"""All that is measured, as pip calls it."""
REFERENCES = ("torch", "torch-channels-last")
"""Each peer is compared with the faster of these."""
