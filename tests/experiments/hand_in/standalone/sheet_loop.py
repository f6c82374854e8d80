"""The loop of the sheets of `fashion` and `emnist47`, as their notebooks have it: Python 3.6.

python sheet_loop.py MODULE CLASSES: the module is `model`, or the file of the network.
"""

import importlib
import json
import sys

import numpy as np

EPOCH = 1
Batch_size = 100
Learning_rate = 1e-3
VALIDATION = 200

np.random.seed(0)
train = np.loadtxt("./data/train.csv", dtype="int", delimiter=",")
test = np.loadtxt("./data/test.csv", dtype="int", delimiter=",")
x_train, y_train = train[:, 1:], train[:, 0]
onehot = np.zeros((len(y_train), int(sys.argv[2])), dtype="float32")
onehot[np.arange(len(y_train)), y_train] = 1

model = importlib.import_module(sys.argv[1])
net = model.Network()

total = len(x_train) // Batch_size
learned = (len(x_train) - VALIDATION) // Batch_size
for _ in range(EPOCH):
    loss_sum, right, val_right = 0.0, 0, 0
    for it in range(total):
        rows = slice(it * Batch_size, (it + 1) * Batch_size)
        pred, loss = net.forward(x_train[rows], onehot[rows])
        hits = np.sum(np.argmax(pred, axis=1) == y_train[rows])
        if it < learned:
            net.backward()
            net.update(Learning_rate)
            loss_sum += loss
            right += hits
        else:
            val_right += hits

predicted = []
for it in range(len(test) // Batch_size):
    rows = slice(it * Batch_size, (it + 1) * Batch_size)
    pred, _ = net.forward(test[rows], onehot[:Batch_size])
    predicted += np.argmax(pred, axis=1).tolist()
print(
    json.dumps(
        {
            "loss": loss_sum / learned,
            "validation": float(val_right / (total - learned) / Batch_size),
            "predicted": predicted,
            "shapes": [list(np.shape(pred)), type(loss).__name__],
        }
    )
)
