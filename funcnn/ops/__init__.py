"""What layers compute with: products of matrices, windows, convolutions, pools; no layer."""
