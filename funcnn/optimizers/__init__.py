"""Optimizers: pure transformations of gradients, composed as in optax."""
