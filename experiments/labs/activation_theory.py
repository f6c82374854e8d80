"""What the report of `fashion-mlp` says about activations, whatever came out."""

from funcnn.experiments.reports.document import Block, Table, Text

_DERIVATIVES = (
    ("identity", "$x$", "$1$"),
    ("binary step", "$1$ if $x > 0$ else $0$", "$0$"),
    ("logistic", r"$\dfrac{1}{1 + \exp(-x)}$", r"$f \, (1 - f)$"),
    ("tanh", r"$\tanh x$", "$1 - f^2$"),
    ("arctan", r"$\arctan x$", r"$\dfrac{1}{1 + x^2}$"),
    ("ReLU", r"$\max(0, x)$", "$1$ if $x > 0$ else $0$"),
    ("PReLU", r"$x$ if $x > 0$ else $a \, x$", r"$1$ if $x > 0$ else $a$; by $a$: $\min(0, x)$"),
    ("ELU", r"$x$ if $x > 0$ else $a \, (\exp x - 1)$", "$1$ if $x > 0$ else $f + a$"),
    ("softplus", r"$\log(1 + \exp x)$", r"$\dfrac{1}{1 + \exp(-x)}$"),
)


def activation_functions() -> list[Block]:
    """The functions that the lab lists, with their derivatives."""
    return [
        Table(
            ("activation", "$f(x)$", "derivative"),
            _DERIVATIVES,
            "The functions that the lab lists, and their derivatives by $x$.",
        ),
        Text(
            "At 0 the derivative of ReLU is 0 here, as in PyTorch; the lab's table has 1 there. "
            "PReLU learns its slope $a$, which begins at 0.25; ELU has $a = 1$. The derivative "
            "of the binary step is 0 wherever it has one, so that the layers before it learn "
            "nothing (weight decay alone makes their weights smaller), and only the last one "
            "does."
        ),
    ]
