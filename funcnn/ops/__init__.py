"""What layers compute with: products of matrices, windows, convolutions and pools, no layer among them."""
