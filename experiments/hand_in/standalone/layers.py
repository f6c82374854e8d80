"""The layers of a network, each with its derivative beside it, on NumPy alone.

A layer is a function `layer(params, x) -> (y, backward)`. x: a batch, `(N, ...)`. params: a dict of
its weights, empty if it has none. `backward(dy) -> (dparams, dx)` takes the derivative of the loss
with respect to y, of y's shape, to those with respect to params and x, of their shapes: the chain
rule for one layer. What it needs of the forward pass it keeps itself; no argument is changed.
"""

import numpy as np


def linear(params, x):
    """y = x W + b. x: (N, in), weight: (in, out), bias: (out,), y: (N, out)."""
    weight = params["weight"]
    y = x @ weight + params["bias"]  # (N, in) @ (in, out)

    def backward(dy):
        dparams = {"weight": x.T @ dy, "bias": dy.sum(axis=0)}  # (in, N) @ (N, out)
        return dparams, dy @ weight.T  # (N, out) @ (out, in)

    return y, backward


def conv(params, x, stride=1, padding=(0, 0)):
    """Convolution: y[n, o] = b[o] + the sum over c of W[o, c] slid over x[n, c].

    x: (N, in, H, W), weight: (out, in, kh, kw), bias: (out,), y: (N, out, H', W').
    padding: how many zeros stand before and after the image, in both directions.
    With every window as a column of a matrix, all of it is one product of matrices.
    """
    weight = params["weight"]
    outs, ins, kh, kw = weight.shape
    # With the images last, what is copied to the columns lies in long pieces: twice as fast.
    padded = np.pad(x.transpose(1, 2, 3, 0), ((0, 0), padding, padding, (0, 0)))
    down, across, n = padded.strides[1:]
    height, width = padded.shape[1] - kh + 1, padded.shape[2] - kw + 1
    windows = np.lib.stride_tricks.as_strided(  # a view: a pixel is in several
        padded,
        (ins, kh, kw, height, width, len(x)),
        (padded.strides[0], down, across, down, across, n),
    )
    windows = windows[:, :, :, ::stride, ::stride]  # (in, kh, kw, H', W', N)
    height, width, n = windows.shape[3:]
    columns = windows.reshape(ins * kh * kw, height * width * n)
    kernels = weight.reshape(outs, ins * kh * kw)
    y = kernels @ columns + params["bias"][:, None]  # (out, in*kh*kw) @ (in*kh*kw, H'*W'*N)

    def backward(dy):
        dy = dy.transpose(1, 2, 3, 0).reshape(outs, height * width * n)
        dweight = dy @ columns.T  # (out, H'*W'*N) @ (H'*W'*N, in*kh*kw)
        dparams = {"weight": dweight.reshape(weight.shape), "bias": dy.sum(axis=1)}
        dcolumns = kernels.T @ dy  # (in*kh*kw, out) @ (out, H'*W'*N)
        dcolumns = dcolumns.reshape(ins, kh, kw, height, width, n)
        # A pixel was in several windows: its derivative is the sum of theirs.
        dpadded = np.zeros(padded.shape, dcolumns.dtype)
        for i in range(kh):
            for j in range(kw):
                rows = slice(i, i + stride * height, stride)
                places = slice(j, j + stride * width, stride)
                dpadded[:, rows, places] += dcolumns[:, i, j]
        before = padding[0]
        dx = dpadded[:, before : before + x.shape[2], before : before + x.shape[3]]
        return dparams, dx.transpose(3, 0, 1, 2)

    return y.reshape(outs, height, width, n).transpose(3, 0, 1, 2), backward


def max_pool(params, x, size):
    """The largest of every size x size pixels; what is left over at the edges is dropped.

    x: (N, C, H, W), y: (N, C, H // size, W // size).
    """
    places = _places(x.shape, size)
    y = x[places[0]]
    for place in places[1:]:
        y = np.maximum(y, x[place])

    def backward(dy):
        dx, free = np.zeros_like(x, dy.dtype), np.ones_like(y, bool)
        for place in places:  # dy goes to the pixel that was the largest, of equals to the first
            largest = free & (x[place] == y)
            dx[place] = dy * largest
            free &= ~largest
        return {}, dx

    return y, backward


def avg_pool(params, x, size):
    """The mean of every size x size pixels; what is left over at the edges is dropped.

    x: (N, C, H, W), y: (N, C, H // size, W // size).
    """
    places = _places(x.shape, size)

    def backward(dy):
        dx = np.zeros_like(x, dy.dtype)
        for place in places:
            dx[place] = dy / size**2
        return {}, dx

    return sum(x[place] for place in places) / size**2, backward


def _places(shape, size):
    """For each place in a window, the indices of all pixels that stand there: (N, C, H', W')."""
    height, width = shape[2] // size * size, shape[3] // size * size
    return [
        (..., slice(i, height, size), slice(j, width, size))
        for i in range(size)
        for j in range(size)
    ]


def flatten(params, x):
    """All numbers of an example in one row. x: (N, ...), y: (N, numbers)."""
    return x.reshape(len(x), -1), lambda dy: ({}, dy.reshape(x.shape))


def dropout(params, x, rate, rng):
    """Each number becomes 0 with probability `rate`, the others are scaled to keep the mean.

    rng: a np.random.Generator in training; None: nothing is dropped.
    """
    if rng is None:
        return x, lambda dy: ({}, dy)
    kept = (rng.random(x.shape) >= rate).astype(x.dtype) / (1 - rate)
    return x * kept, lambda dy: ({}, dy * kept)


def identity(params, x):
    """y = x, y' = 1."""
    return x, lambda dy: ({}, dy)


def binary_step(params, x):
    """y = 1 where x > 0 and 0 elsewhere, y' = 0."""
    return (x > 0).astype(x.dtype), lambda dy: ({}, np.zeros_like(dy))


def sigmoid(params, x):
    """y = 1 / (1 + exp(-x)), y' = y (1 - y). Written with tanh, which does not overflow."""
    y = (np.tanh(x / 2) + 1) / 2
    return y, lambda dy: ({}, dy * y * (1 - y))


def tanh(params, x):
    """y = tanh x, y' = 1 - y^2."""
    y = np.tanh(x)
    return y, lambda dy: ({}, dy * (1 - y * y))


def arctan(params, x):
    """y = arctan x, y' = 1 / (1 + x^2)."""
    return np.arctan(x), lambda dy: ({}, dy / (1 + x * x))


def relu(params, x):
    """y = max(0, x), y' = 1 where x > 0 and 0 elsewhere, at 0 too."""
    return np.maximum(x, 0), lambda dy: ({}, dy * (x > 0))


def prelu(params, x):
    """y = x where x > 0 and a x elsewhere; a, the weight, is learned: dy/da = min(0, x)."""
    slope = params["weight"]  # (1,)

    def backward(dy):
        dslope = np.sum(dy * np.minimum(x, 0)).reshape(1)
        return {"weight": dslope}, dy * np.where(x > 0, 1, slope)

    return np.where(x > 0, x, slope * x), backward


def leaky_relu(params, x, slope=0.01):
    """y = x where x > 0 and slope x elsewhere."""
    return np.where(x > 0, x, slope * x), lambda dy: ({}, np.where(x > 0, dy, slope * dy))


def elu(params, x, alpha=1.0):
    """y = x where x > 0 and a (exp x - 1) elsewhere, y' = 1 and y + a."""
    y = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
    return y, lambda dy: ({}, np.where(x > 0, dy, dy * (y + alpha)))


def softplus(params, x):
    """y = log(1 + exp x), y' = 1 / (1 + exp(-x))."""
    return np.logaddexp(x, 0), lambda dy: ({}, dy * (np.tanh(x / 2) + 1) / 2)


def silu(params, x):
    """y = x s(x) with the sigmoid s, y' = s + y (1 - s)."""
    s = (np.tanh(x / 2) + 1) / 2
    y = x * s
    return y, lambda dy: ({}, dy * (s + y * (1 - s)))


def one_hot(labels, outputs):
    """Rows like those of outputs, (N, K): 1 in the column of the label and 0 in the others.

    labels: (N,) integers, or such rows already.
    """
    rows = np.asarray(labels)
    if rows.ndim == 1:
        rows = np.eye(outputs.shape[1])[rows]
    if rows.shape != outputs.shape:
        raise ValueError(f"targets {rows.shape} do not fit outputs {outputs.shape}")
    return rows.astype(outputs.dtype)


def log_softmax(outputs):
    """log p, p = softmax(outputs), (N, K). The largest is taken off all: nothing overflows."""
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax_cross_entropy(outputs, labels, smoothing=0.0):
    """L = the mean over the batch of - sum_k t_k log p_k, p = softmax(outputs), and dL/doutputs.

    outputs: (N, K), labels: (N,) integers, or one-hot (N, K). t is 1 for the label and 0 for the
    others; with smoothing e it is e / K for all, and 1 - e more for the label. The derivative of
    both together is (p - t) / N.
    """
    n, classes = outputs.shape
    targets = (1 - smoothing) * one_hot(labels, outputs) + smoothing / classes
    log_p = log_softmax(outputs)
    loss = float((targets * -log_p).sum()) / n
    return loss, (np.exp(log_p) - targets) / n


def half_squared_error(outputs, labels):
    """E = the mean over the batch of 1/2 sum_k (y_k - t_k)^2, t one-hot, and dE/doutputs.

    outputs: (N, K), labels: (N,) integers, or one-hot (N, K).
    """
    difference = outputs - one_hot(labels, outputs)
    return float((difference**2).sum()) / (2 * len(outputs)), difference / len(outputs)


def binary_cross_entropy(outputs, labels):
    """L = the mean of - t log y - (1 - t) log(1 - y), and dL/dy = (y - t) / (y (1 - y)) / number.

    outputs: probabilities y, (N, 1). labels: t, 0 or 1, (N, 1). Logarithms end at -100, and the
    divisor at 1e-12, so that y = 0 and y = 1 give numbers.
    """
    t = labels.reshape(outputs.shape).astype(outputs.dtype)
    with np.errstate(divide="ignore"):
        log_y = np.maximum(np.log(outputs), -100)
        log_rest = np.maximum(np.log1p(-outputs), -100)
    loss = -float((t * log_y + (1 - t) * log_rest).mean())
    return loss, (outputs - t) / np.maximum(outputs * (1 - outputs), 1e-12) / outputs.size
