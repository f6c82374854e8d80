"""Who takes part in the benchmark, and what each must be able to do."""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from funcnn.compiled import native
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
    native: bool | None = None
    """Whether it replays recorded steps in C; None: it has none."""
    dense: bool = True
    images: bool = True
    binary: bool = True

    def fits(self, net: Net) -> bool:
        """Whether it can do a net."""
        return (self.images if net.channels else self.dense) and (self.binary or not net.binary)

    @property
    def why_not(self) -> str | None:
        """Why it cannot take part here; None: it can."""
        if importlib.util.find_spec(self.needs) is None:
            return f"{self.package} is not installed (pip has it)"
        if self.native and (reason := native.why_not()):
            return f"recorded steps are replayed by NumPy here ({reason})"
        return None

    @property
    def environment(self) -> dict[str, str]:
        """What the environment of its process has beside that of here."""
        return {native.VARIABLE: "0"} if self.native is False else {}

    def load(self) -> Any:
        """Its module: the class `Learner(net, **options)`, and `limits(threads)`, a context.

        Raises `ImportError` where what it needs is missing or broken.
        """
        return importlib.import_module(f"funcnn.experiments.{self.module}")


PEERS = {
    "funcnn": Peer("funcnn", "bench.peer_funcnn", "numpy", "numpy"),
    "funcnn-recorded": Peer(
        "funcnn compile=True, by NumPy",
        "bench.peer_funcnn",
        "numpy",
        "numpy",
        options={"compile": True},
        native=False,
    ),
    "funcnn-native": Peer(
        "funcnn compile=True, in C",
        "bench.peer_funcnn",
        "numpy",
        "numpy",
        options={"compile": True},
        native=True,
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
