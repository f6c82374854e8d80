"""What layers compute with: operations on arrays, each with its derivative beside it.

Here are convolution, pooling and normalisation themselves, and `matmul`; no layer, no params.
"""
