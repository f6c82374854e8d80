"""The layers of a network, each with its derivative beside it, and what puts them together.

`core`, `activation`, `convolution`, `pooling`, `normalization` and `batch_norm` have the layers;
`combinators` (`serial` first of all) and `branches` make one layer of several. What a layer
computes on arrays is in `funcnn.ops`, the activation functions are in `funcnn.activations`.
"""
