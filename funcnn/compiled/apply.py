"""A model in evaluation that is recorded when it first meets arguments of a kind, and replayed."""

from funcnn.compiled.own_code import own_of_apply
from funcnn.compiled.recordings import Recordings
from funcnn.layers.any_layer import with_wrt, y_and_vjp
from funcnn.random import Key
from funcnn.types import Apply, Arrays, Tree, Vjp, Wrt


class CompiledApply:
    """An `apply` that gives what the plain one gives, bit by bit: see `compile_apply`."""

    def __init__(self, apply: Apply) -> None:
        self._apply = with_wrt(apply)
        self._own = own_of_apply(apply)
        self._recordings = Recordings(self._evaluate, is_step=False)

    @property
    def why(self) -> str | None:
        """Why calls run plain, or the last one did; None if nothing is known against replays."""
        return self._own or self._recordings.why

    def __call__(
        self,
        params: Tree,
        x: Arrays,
        *,
        rng: Key | None = None,
        train: bool = False,
        wrt: Wrt = "both",
    ) -> tuple[Arrays, Vjp | None]:
        """`(y, vjp)`, as the plain `apply`."""
        if train or wrt is not None or rng is not None or self._own is not None:
            return self._apply(params, x, rng=rng, train=train, wrt=wrt)
        return self._recordings.call(params, x), None

    def _evaluate(self, params: Tree, x: Arrays) -> Arrays:
        return y_and_vjp(self._apply(params, x, train=False, wrt=None))[0]


def compile_apply(apply: Apply) -> CompiledApply:
    """The same `apply`, whose evaluation is recorded once and replayed: `wrt=None`.

    For `predict`, `evaluate`, and calls `apply(params, x, wrt=None)`, of which a small batch, or a
    single image, takes less time. Each shape of x, `(N, ...)`, is recorded when it is first met.
    The result's `why` says why it runs plain, as with a layer of your own.
    Raises `TypeError` for what is no function.

    >>> model = fn.serial(fn.Dense(2), fn.Relu())
    >>> _, params = model.init(fn.random.key(0), (3,))
    >>> apply, x = fn.compile_apply(model.apply), np.ones((1, 3), np.float32)
    >>> y, same = (fn.predict(f, params, x) for f in (apply, model.apply))
    >>> bool((y == same).all()), apply.why
    (True, None)
    """
    return CompiledApply(apply)
