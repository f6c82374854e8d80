"""Hand-ins of imaginary students for each lab, by their sheets; small, and made here."""

import io
import json
import textwrap
import zipfile

ID = "0716001"
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Pages/Count 2>>endobj 2 0 obj<</Type/Page>>endobj "
    b"3 0 obj<</Type /Page>>endobj\nstartxref\n0\n%%EOF\n"
)


def code(text):
    return textwrap.dedent(text).lstrip("\n")


def notebook(*cells, note=f"# {ID}"):
    """A notebook that ran; each cell is its source, or a pair of it and what it printed."""
    made = [{"cell_type": "markdown", "metadata": {}, "source": [note]}]
    for count, cell in enumerate(cells, 1):
        source, printed = cell if isinstance(cell, tuple) else (cell, "")
        outputs = [{"output_type": "stream", "name": "stdout", "text": printed.splitlines(True)}]
        made.append(
            {
                "cell_type": "code",
                "metadata": {},
                "execution_count": count,
                "source": code(source).splitlines(True),
                "outputs": outputs if printed else [],
            }
        )
    saved = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(saved).encode()


def predictions(rows, classes):
    return "".join(["Id,Category\n", *(f"{i},{i % classes}\n" for i in range(rows))]).encode()


LAYER = code("""
    import numpy as np

    class _Layer(object):
        def __init__(self):
            pass

        def forward(self, *input):
            raise NotImplementedError

        def backward(self, *output_grad):
            raise NotImplementedError

    class FullyConnected(_Layer):
        def __init__(self, in_features, out_features):
            self.weight = np.random.randn(in_features, out_features) * 0.01
            self.bias = np.zeros((1, out_features))

        def forward(self, input):
            self.input = input
            return input @ self.weight + self.bias

        def backward(self, output_grad):
            self.weight_grad = self.input.T @ output_grad
            self.bias_grad = output_grad.sum(axis=0, keepdims=True)
            return output_grad @ self.weight.T

    class Activation1(_Layer):
        def forward(self, input):
            self.mask = input > 0
            return input * self.mask

        def backward(self, output_grad):
            return output_grad * self.mask

    class SoftmaxWithloss(_Layer):
        def forward(self, input, target):
            e = np.exp(input - input.max(axis=1, keepdims=True))
            self.predict = e / e.sum(axis=1, keepdims=True)
            self.target = target
            loss = -np.mean(np.log((self.predict * target).sum(axis=1) + 1e-12))
            return self.predict, loss

        def backward(self):
            return (self.predict - self.target) / len(self.target)
""")

NETWORK = code("""
    from .layer import *

    class Network(object):
        def __init__(self):
            self.fc1 = FullyConnected(784, 60)
            self.act1 = Activation1()
            self.fc2 = FullyConnected(60, CLASSES)
            self.loss = SoftmaxWithloss()

        def forward(self, input, target):
            h = self.act1.forward(self.fc1.forward(input / 255))
            pred, loss = self.loss.forward(self.fc2.forward(h), target)
            return pred, loss

        def backward(self):
            grad = self.fc2.backward(self.loss.backward())
            self.fc1.backward(self.act1.backward(grad))

        def update(self, lr):
            for fc in (self.fc1, self.fc2):
                fc.weight -= 100 * lr * fc.weight_grad
                fc.bias -= 100 * lr * fc.bias_grad
""")

LOOP = """
    import numpy as np
    import model
    EPOCH, Batch_size, Learning_rate = 10, 100, 6e-4
    net = model.Network()
    for epoch in range(EPOCH):
        pred, loss = net.forward(x, onehot)
        net.backward()
        net.update(Learning_rate)
    """

EPOCH_LINE = "Epoch: 10 |Train Loss:  0.5000 |Train Acc:83.2000 |Val Loss:  0.6000 |Val Acc:82.5000"

NET = """
    import torch
    import torch.nn as nn
    EPOCH, Batch_size, Learning_rate = 10, 100, 1e-2

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(784, 10)

        def forward(self, x):
            return self.fc(x)

    net = Net()
    """

GENERATORS = """
    import numpy as np

    def generate_linear(n=100):
        import numpy as np
        pts = np.random.uniform(0, 1, (n, 2))
        inputs = []
        labels = []
        for pt in pts:
            inputs.append([pt[0], pt[1]])
            distance = (pt[0] - pt[1]) / 1.414
            if pt[0] > pt[1]:
                labels.append(0)
            else:
                labels.append(1)
        return np.array(inputs), np.array(labels).reshape(n, 1)

    def generate_XOR_easy():
        import numpy as np
        inputs = []
        labels = []
        for i in range(11):
            inputs.append([0.1 * i, 0.1 * i])
            labels.append(0)
            if 0.1 * i == 0.5:
                continue
            inputs.append([0.1 * i, 1 - 0.1 * i])
            labels.append(1)
        return np.array(inputs), np.array(labels).reshape(21, 1)
    """

MLP = """
    import torch
    import torch.nn as nn

    class myActivation(nn.Module):
        def forward(self, x):
            return torch.maximum(x, torch.zeros_like(x))

    class myMLP(nn.Module):
        def __init__(self, input_dim, num_classes):
            super().__init__()
            self.mlp = nn.Sequential(
                nn.Linear(input_dim, 32), myActivation(), nn.Linear(32, num_classes)
            )

        def forward(self, x):
            return self.mlp(x.flatten(1))

    class myLoss(nn.Module):
        def forward(self, outputs, targets):
            top = outputs.max(1, keepdim=True).values
            log_sum = top.squeeze(1) + torch.log(torch.exp(outputs - top).sum(1))
            return (log_sum - outputs[torch.arange(len(targets)), targets]).mean()

    class myOptimizer(torch.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data -= group["lr"] * p.grad
    """

MLP_LOOP = """
    criterion = myLoss()
    optimizer = myOptimizer(model.parameters(), lr=0.1)
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    """


def points():
    trained = (
        "epoch 10000 loss : 0.16234523253277644\nlinear accuracy: 100.0 %\nXOR accuracy: 95.2 %"
    )
    return {
        f"DL_LAB1_{ID}.pdf": PDF,
        "points.ipynb": notebook(GENERATORS, ("train()", trained)),
    }


def fashion():
    accuracy = "val acc: 0.8712\n"
    return {
        f"Lab01_task1_{ID}.ipynb": notebook(LOOP, ("validate()", accuracy)),
        f"network_{ID}.py": NETWORK.replace("CLASSES", "10").encode(),
        f"layer_{ID}.py": LAYER.encode(),
        f"Lab01_task2_{ID}.ipynb": notebook(NET, ("validate()", accuracy)),
        f"Lab01_report_{ID}.pdf": PDF,
        "DL-test-predicted.csv": predictions(10_000, 10),
    }


def emnist47():
    return {
        f"Lab1_{ID}.ipynb": notebook((LOOP, EPOCH_LINE)),
        "network.py": NETWORK.replace("CLASSES", "47").encode(),
        "layer.py": LAYER.encode(),
        f"Lab1_report_{ID}.pdf": PDF,
        "DLAD-test-predict.csv": predictions(12_800, 47),
    }


def mnist():
    return {
        "report.pdf": PDF,
        "numpy_side.ipynb": notebook("import numpy as np", ("1 + 1", "2")),
        "torch_side.py": b"import torch\n",
    }


def fashion_mlp():
    return {
        f"DL_HW1_{ID}.ipynb": notebook(MLP, (MLP_LOOP, "Test Accuracy: 88.31%")),
        f"{ID}_submission.pt": weights((32, 784), (10, 32)),
        f"{ID}_submission.csv": predictions(10_000, 10),
    }


GOOD = {
    "points": points,
    "fashion": fashion,
    "emnist47": emnist47,
    "mnist": mnist,
    "fashion-mlp": fashion_mlp,
}
ARCHIVES = {
    "points": f"DL_LAB1_{ID}_王小明.zip",
    "fashion": f"{ID}.zip",
    "emnist47": f"{ID}.zip",
    "mnist": f"PA1_{ID}_김철수.zip",
    "fashion-mlp": f"{ID}_HW1.zip",
}


def weights(*shapes, names="mlp.{}"):
    """A `.pt` file of dense layers, as torch writes it."""
    import torch

    state = {}
    for index, shape in enumerate(shapes):
        name = names.format(2 * index)
        state[f"{name}.weight"] = torch.zeros(shape)
        state[f"{name}.bias"] = torch.zeros(shape[0])
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def write(folder, lab, files=None, name=None):
    """An archive of a lab with these files, by default the good ones."""
    path = folder / (name or ARCHIVES[lab])
    path.write_bytes(zipped(GOOD[lab]() if files is None else files))
    return path


def raw_zip(names, flags=0, content=b"x"):
    """A zip file whose members have these names, to the byte, and flags."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index, name in enumerate(names):
            archive.writestr("N" * (len(name) - 4) + f"{index:04}", content)
    made = bytearray(buffer.getvalue())
    for index, name in enumerate(names):
        placeholder = b"N" * (len(name) - 4) + f"{index:04}".encode()
        for sign, at_flags, at_name in ((b"PK\3\4", 6, 30), (b"PK\1\2", 8, 46)):
            at = made.index(sign)
            while made[at + at_name : at + at_name + len(name)] != placeholder:
                at = made.index(sign, at + 1)
            made[at + at_name : at + at_name + len(name)] = name
            made[at + at_flags : at + at_flags + 2] = flags.to_bytes(2, "little")
    return bytes(made)
