"""How gradients become updates of the params: pure transformations, composed as in optax.

`aliases` has the whole optimizers (`sgd`, `adam`, ...), which are chains of `transforms` and
`scaling`; `base` says what an optimizer is, and has `chain` and `apply_updates`.
"""
