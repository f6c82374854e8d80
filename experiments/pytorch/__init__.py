"""The mirror: the same networks, optimizers and training loop in PyTorch."""
