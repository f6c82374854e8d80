"""How gradients become updates of the params: pure transformations, composed as in optax.

`aliases` has the whole optimizers (`sgd`, `adam`, ...), each a chain of parts: what depends on
earlier gradients is in `scaling` (`scale_by_adam`), the rest in `transforms` (momentum is `trace`);
`parts` has those of a part of the params (`masked`, `partition`); `base` says what an optimizer is,
and has `chain` and `apply_updates`.
"""
