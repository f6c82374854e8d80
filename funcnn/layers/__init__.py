"""Layers, each a pair of pure functions, and the combinators that make one of several."""
