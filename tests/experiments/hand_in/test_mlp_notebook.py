"""The notebook of `fashion-mlp` as its teacher uses it: the lab's own cells drive its classes."""

import ast
import itertools
import json
import math

import numpy as np
import pytest
from hand_ins import ID, write
from notebooks import built_of, code, python

from funcnn.experiments.data.datasets import Normalization
from funcnn.experiments.data.formats.idx import read_idx
from funcnn.experiments.data.store import place_of
from funcnn.experiments.grade.grading import grade
from funcnn.experiments.tasks.recipes import RECIPES

pytest.importorskip("torch", reason="a lab in torch: pip install 'funcnn[torch]'")
for package in ("jupytext", "nbformat"):
    pytest.importorskip(package, reason="notebooks: pip install 'funcnn[notebooks]'")

FASHION = place_of("fashion-mnist")
HIDDEN = RECIPES["fashion-mlp"].settings["hidden"]


def classes_of(cells):
    """The classes as they stand in the cells, and nothing else."""
    source = "\n".join(cells)
    found = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return "\n\n".join(ast.get_source_segment(source, node) for node in found)


# The classes are put in front. Nothing is asked of them but what the lab's sheet says.
SHEET = """
import json, math
import numpy as np
import torch
from torch import nn

CLASSES

said = {}
(SGD,) = [each for each in list(globals().values())
          if isinstance(each, type) and issubclass(each, torch.optim.Optimizer)]
images = np.load("images.npy")
labels = torch.from_numpy(np.load("labels.npy"))
pixels = torch.from_numpy(images.reshape(len(images), -1) / np.float32(255))
rows = (pixels - 0.286) / 0.353


def epochs(model, rows, labels, count):
    criterion = myLoss()
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    losses = []
    for epoch in range(count):
        for x, targets in zip(rows.split(50), labels.split(50)):
            optimizer.zero_grad()
            outputs = model(x)
            loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


# --- the network, its file, and another data set
torch.manual_seed(0)
model = myMLP(28 * 28, 10)
said["names"] = list(model.state_dict())
said["shapes"] = [list(p.shape) for p in model.parameters()]
said["layers"] = [type(each).__name__ for each in model.mlp]
said["losses"] = epochs(model, rows, labels, 5)
model.eval()
said["accuracy"] = (model(rows).argmax(1) == labels).float().mean().item()
said["images"] = bool((model(rows.reshape(-1, 1, 28, 28)) == model(rows)).all())
torch.save(model.state_dict(), "submission.pt")
again = myMLP(28 * 28, 10)
again.load_state_dict(torch.load("submission.pt", weights_only=True), strict=True)
again.eval()
said["again"] = bool((again(rows) == model(rows)).all())
deviation, mean, CLASSES = 0.353, 0.286, range(10)
images = images[:, None]
FOR_PIXELS
said["pixels"] = (for_pixels(model).eval()(pixels) - model(rows)).abs().max().item()
import os
said["bytes"] = os.path.getsize("submission.pt")
colour = myMLP(3072, 10)
torch.manual_seed(1)
said["colour_losses"] = epochs(colour, torch.randn(200, 3072), torch.arange(200) % 10, 20)
torch.save(colour.state_dict(), "colour.pt")
said["colour_bytes"] = os.path.getsize("colour.pt")
said["sizes"] = {str((a, b)): [p.shape[0] for n, p in myMLP(a, b).named_parameters()
                               if n.endswith("weight")]
                 for a, b in ((784, 47), (3072, 100), (12288, 10), (500_000, 2))}

# --- the trained network of a snapshot
Snapshot = type("Snapshot", (myMLP,), {"HIDDEN": (256, 128)})
snapshot = Snapshot(784, 10).eval()
snapshot.load_state_dict(torch.load("snapshot.pt", weights_only=True), strict=True)
np.save("snapshot_outputs.npy", snapshot(torch.from_numpy(np.load("inputs.npy"))).detach().numpy())

# --- the loss, and its derivative, beside torch's
def apart(make, theirs, *inputs):
    ours_in = [x.clone().requires_grad_() for x in inputs]
    theirs_in = [x.clone().requires_grad_() for x in inputs]
    a, b = make(*ours_in), theirs(*theirs_in)
    weights = torch.linspace(1, 2, a.numel(), dtype=a.dtype).reshape(a.shape)
    (a * weights).sum().backward()
    (b * weights).sum().backward()
    ends = [(a.detach(), b.detach()), *((p.grad, q.grad) for p, q in zip(ours_in, theirs_in))]
    return max((p - q).abs().max().item() for p, q in ends)


torch.manual_seed(2)
said["loss"], said["softer"] = [], []
for scale in (1.0, 30.0, 1e4):
    outputs = scale * torch.randn(40, 7, dtype=torch.float64)
    targets = torch.randint(0, 7, (40,))

    def off(mine, **theirs):
        return apart(lambda x: mine(x, targets),
                     lambda x: nn.functional.cross_entropy(x, targets, **theirs), outputs) / scale

    said["loss"] += [off(myLoss(smoothing=0)), off(myLoss().eval()), off(myLoss(0.3).eval())]
    said["softer"] += [off(myLoss(), label_smoothing=myLoss.SMOOTHING),
                       off(myLoss(0.3), label_smoothing=0.3)]
    with torch.no_grad():
        said["loss"].append(float(myLoss(0.3)(outputs, targets)
                                  - nn.functional.cross_entropy(outputs, targets)) / scale)
far = torch.tensor([[3e38, -3e38, 0.0], [-1e30, -1e30, -1e30]], requires_grad=True)
value = myLoss(smoothing=0)(far, torch.tensor([0, 2]))
value.backward()
said["far"] = [value.item(), far.grad.tolist()]

# --- every activation, away from 0 and at 0
F = nn.functional
theirs = {"identity": lambda x: x, "logistic": torch.sigmoid, "tanh": torch.tanh,
          "arctan": torch.arctan, "ReLU": F.relu, "ELU": F.elu, "softplus": F.softplus,
          "binary step": lambda x: (x > 0).to(x.dtype) + 0 * x,
          "PReLU": lambda x: F.prelu(x, torch.tensor([0.25], dtype=x.dtype))}
x = torch.cat([torch.linspace(-15, 15, 301, dtype=torch.float64), torch.zeros(1).double()])
said["activations"] = {name: apart(myActivation(name), f, x) for name, f in theirs.items()}
ours, torchs = myActivation("PReLU"), nn.PReLU()
ours(x.float()).sum().backward()
torchs(x.float()).sum().backward()
(slope,) = ours.parameters()
said["slope"] = [slope.grad.item(), torchs.weight.grad.item()]
said["overflow"] = [myActivation(name)(torch.tensor([-500.0, 500.0])).tolist() for name in theirs]

# --- the optimizer: by hand, under rates that change; and funcnn's under its schedule
rates, b, g = [0.1, 0.1, 0.05, 0.02, 0.01], 0.8, 0.3
w = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
still = nn.Parameter(torch.ones(2))
slow = nn.Parameter(torch.ones(1, dtype=torch.float64))
optimizer = SGD([{"params": [w, still]}, {"params": [slow], "lr": 0.001, "momentum": 0.0}],
                lr=1.0, momentum=b, weight_decay=g)
by_hand, v = np.array([1.0, -2.0]), np.zeros(2)
said["recurrence"], slow_hand = 0.0, 1.0
for h in rates:
    optimizer.param_groups[0]["lr"] = h
    optimizer.zero_grad()
    ((w**2).sum() + (slow**2).sum()).backward()
    optimizer.step()
    v = b * v - g * h * by_hand - h * 2 * by_hand
    by_hand = by_hand + v
    slow_hand -= 0.001 * (g * slow_hand + 2 * slow_hand)
    said["recurrence"] = max(said["recurrence"], float(np.abs(w.detach().numpy() - by_hand).max()),
                             abs(slow.item() - slow_hand))
said["still"] = still.tolist()
stored = optimizer.state_dict()
other = SGD([{"params": [w, still]}, {"params": [slow]}], lr=0.5)
other.load_state_dict(stored)
said["stored"] = float((other.state[w]["v"] - torch.from_numpy(v)).abs().max())
said["closure"] = optimizer.step(lambda: 3.0)

import funcnn as fn
from funcnn.experiments.pytorch.optimizers import ClassicalMomentum

rate = fn.schedules.cosine_decay(0.1, 20)
schooled = fn.classical_momentum(rate, 0.9, 0.01)
params = {"w": np.array([1.0, -0.5, 2.0])}
state = schooled.init(params)
w = nn.Parameter(torch.from_numpy(params["w"].copy()))
optimizer = SGD([w], lr=0.1, momentum=0.9, weight_decay=0.01, steps=20)
said["schedule"] = 0.0
for _ in range(20):
    updates, state = schooled.update({"w": np.cos(params["w"])}, state, params)
    params = fn.apply_updates(params, updates)
    optimizer.zero_grad()
    torch.sin(w).sum().backward()
    optimizer.step()
    said["schedule"] = max(said["schedule"], float(np.abs(w.detach().numpy() - params["w"]).max()))

# --- the training of the PyTorch backend: the same params but for rounding
torch.manual_seed(3)
ours = type("Plain", (myMLP,), {"SHIFT": 0, "ERASE": None})(784, 10).double()
backend = nn.Sequential(nn.Flatten(), *(nn.ReLU() if i % 2 else nn.Linear(*each.weight.shape[::-1])
                                        for i, each in enumerate(ours.mlp))).double()
backend.load_state_dict(dict(zip(backend.state_dict(), ours.state_dict().values())))
optimizers = [SGD(ours.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, steps=40),
              ClassicalMomentum(backend.parameters(), 0.05, 0.9, 5e-4)]
falls = torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[1], T_max=40)
for step in range(40):
    at = slice(50 * (step % 20), 50 * (step % 20) + 50)
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    for model, criterion, optimizer in zip((ours, backend), (myLoss(0.1), smoothed), optimizers):
        optimizer.zero_grad()
        loss = criterion(model(rows[at].double()), labels[at])
        loss.backward()
        optimizer.step()
    falls.step()
said["backend"] = max((p - q).abs().max().item()
                      for p, q in zip(ours.parameters(), backend.parameters()))
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    """What the lab's own cells find of the classes."""
    import funcnn as fn
    from funcnn.experiments.export.tensor_files import write_tensors
    from funcnn.experiments.pytorch.state_dicts import in_mlp, to_state_dict

    folder = tmp_path_factory.mktemp("sheet")
    images, labels = (
        read_idx(FASHION / f"t10k-{kind}-ubyte.gz")[:1000]
        for kind in ("images-idx3", "labels-idx1")
    )
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels.astype(np.int64))
    hidden = [part for width in (256, 128) for part in (fn.Dense(width), fn.Relu())]
    model = fn.serial(fn.Flatten(), *hidden, fn.Dense(10))
    _, params = model.init(fn.random.key(0), (1, 28, 28))
    inputs = images[:50, None] / np.float32(255)
    np.save(folder / "inputs.npy", inputs)
    scaled = Normalization(255.0, 0.286, 0.353)
    write_tensors(folder / "snapshot.pt", in_mlp(to_state_dict(model, params), scaled), {})
    cells = code(built_of("fashion-mlp"))
    (folding,) = (cell.partition("\n\n\n")[0] for cell in cells if "def for_pixels" in cell)
    sheet = SHEET.replace("CLASSES", classes_of(cells), 1).replace("FOR_PIXELS", folding)
    said = json.loads(python(sheet, folder))
    outputs, _ = model.apply(params, scaled(images[:50, None]), wrt=None)
    said["snapshot"] = float(np.abs(np.load(folder / "snapshot_outputs.npy") - outputs).max())
    return said


def test_the_network_has_the_labs_names_and_sizes(sheet):
    assert sheet["names"] == [
        f"mlp.{index}.{leaf}" for index in (0, 2, 4) for leaf in ("weight", "bias")
    ]
    assert sheet["layers"] == ["Linear", "myActivation", "Linear", "myActivation", "Linear"]
    first, second = HIDDEN
    assert sheet["shapes"] == [
        *([first, 784], [first], [second, first], [second]),
        *([10, second], [10]),
    ]


def test_the_labs_loop_trains_it_and_its_file_loads_strictly(sheet):
    assert sheet["losses"][-1] < 0.5 * sheet["losses"][0]  # of softer labels it is never near 0
    assert sheet["accuracy"] > 0.7
    assert sheet["images"]
    assert sheet["again"]
    params = sum(math.prod(shape) for shape in sheet["shapes"])
    assert 4 * params < sheet["bytes"] < 4 * params + 8_000 < 2_000_000


def test_another_data_set_is_learned_in_less_than_2_mb(sheet):
    assert sheet["colour_losses"][-1] < 0.3 * sheet["colour_losses"][0]
    assert sheet["colour_bytes"] < 2_000_000
    assert sheet["sizes"]["(784, 47)"] == [*HIDDEN, 47]  # of EMNIST: they need not be smaller
    for sizes, widths in sheet["sizes"].items():
        inputs, classes = ast.literal_eval(sizes)
        every = [inputs, *widths]
        count = sum((a + 1) * b for a, b in itertools.pairwise(every))
        assert widths[-1] == classes
        assert widths[0] >= widths[1]
        assert 4 * count < 2_000_000 or widths[:2] == [1, 1]


def test_the_params_of_a_snapshot_load_strictly_and_give_its_outputs(sheet):
    assert sheet["snapshot"] < 1e-5


def test_the_first_layer_takes_the_normalisation_in(sheet):
    assert sheet["pixels"] < 2e-5  # of outputs in float32, some tens at most


def test_the_loss_is_cross_entropy_without_overflow(sheet):
    assert max(sheet["loss"]) < 1e-14
    assert max(sheet["softer"]) < 1e-14
    value, grads = sheet["far"]
    assert value == pytest.approx(np.log(3) / 2, rel=1e-6)
    assert grads[0] == [0, 0, 0]
    assert grads[1] == pytest.approx([1 / 6, 1 / 6, -1 / 3], rel=1e-6)


def test_every_activation_and_its_derivative_are_right(sheet):
    assert len(sheet["activations"]) == 9
    assert max(sheet["activations"].values()) < 1e-12
    assert sheet["slope"][0] == pytest.approx(sheet["slope"][1], rel=1e-6)
    assert np.isfinite(sheet["overflow"]).all()


def test_the_optimizer_goes_by_the_labs_recurrence(sheet):
    assert sheet["recurrence"] < 1e-14
    assert sheet["still"] == [1, 1]  # it has no gradient
    assert sheet["stored"] < 1e-14
    assert sheet["closure"] == 3
    assert sheet["schedule"] < 1e-14


def test_the_labs_classes_train_as_the_pytorch_backend_does(sheet):
    assert sheet["backend"] < 1e-12


def test_the_grading_finds_nothing_in_it_that_torch_brings(tmp_path):
    """In the cells that only check something, too: an `outputs.softmax(1)` there costs points."""
    archive = write(tmp_path, "fashion-mlp", {f"DL_HW1_{ID}.ipynb": built_of("fashion-mlp")})
    verdicts = grade(archive, "fashion-mlp").verdicts
    (rule,) = (each for each in verdicts if each.sheet.startswith("tensor functions"))
    assert rule.holds, rule.found


# --- what myMLP does to its images ------------------------------------------------------------


@pytest.fixture(scope="module")
def drawing():
    """The notebook's myMLP with these settings, in one thread, and torch."""
    import torch

    namespace = {"torch": torch, "nn": torch.nn, "math": math}
    exec(classes_of(code(built_of("fashion-mlp"))), namespace)

    def network(**changed):
        torch.manual_seed(0)
        return type("Changed", (namespace["myMLP"],), changed)(784, 10)

    return network, torch


def numbered(torch, *shape):
    """Images whose values are all different, the smallest first."""
    return torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape) - 100


@pytest.mark.parametrize("shape", [(40, 1, 28, 28), (30, 3, 5, 9), (20, 2, 1, 4)])
@pytest.mark.parametrize("most", [1, 2])
def test_a_moved_image_is_one_of_the_windows_of_it_in_its_frame(drawing, shape, most):
    network, torch = drawing
    model, x = network(SHIFT=most), numbered(torch, *shape)
    before, moved = x.clone(), model.moved(x)
    assert torch.equal(x, before)
    assert moved.shape == x.shape
    framed = np.full((*shape[:2], shape[2] + 2 * most, shape[3] + 2 * most), float(x.min()))
    framed[:, :, most:-most, most:-most] = x.numpy()
    places = set()
    for image, frame in zip(moved.numpy(), framed, strict=True):
        found = [
            (down, right)
            for down in range(2 * most + 1)
            for right in range(2 * most + 1)
            if (image == frame[:, down : down + shape[2], right : right + shape[3]]).all()
        ]
        assert found
        places.update(found)
    assert len(places) > most  # each its own


@pytest.mark.parametrize("shape", [(4000, 1, 28, 28), (2000, 3, 6, 17)])
def test_an_erased_image_is_the_same_but_for_a_rectangle_of_one_value(drawing, shape):
    network, torch = drawing
    share, least, most = 0.4, 0.1, 0.3
    model = network(ERASE=(share, least, most))
    x = torch.rand(shape)
    before, erased = x.clone(), model.erased(x)
    assert torch.equal(x, before)
    changed = (erased != x).numpy()
    assert (changed.all(1) == changed.any(1)).all()  # of all channels
    touched = changed.any((1, 2, 3))
    assert touched.mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / shape[0]))
    rows, columns = changed.any((1, 3)), changed.any((1, 2))  # (N, H), (N, W)
    rectangle = rows[:, None, :, None] & columns[:, None, None, :]
    assert (changed == rectangle).all()
    high, wide = rows.sum(1)[touched], columns.sum(1)[touched]
    for places in (rows, columns):  # without a gap
        assert (np.abs(np.diff(places.astype(int), axis=1)).sum(1) <= 2).all()
    area = shape[2] * shape[3]
    # Sides are rounded to whole pixels: each by half a pixel at most.
    assert ((high + 0.5) * (wide + 0.5) >= least * area).all()
    assert ((high - 0.5) * (wide - 0.5) <= most * area).all()
    assert ((high - 0.5) <= 3.3 * (wide + 0.5)).all()
    if shape[2] == shape[3]:  # else those with which it fits
        assert ((high + 0.5) >= 0.3 * (wide - 0.5)).all()
    assert rows[:, 0].any()
    assert rows[:, -1].any()
    values = erased.numpy()[touched][changed[touched]]
    assert x.min() <= values.min() < 0.1
    assert 0.9 < values.max() <= x.max()
    for image, where in zip(erased.numpy(), changed, strict=True):
        assert np.unique(image[where]).size <= 1


def test_the_least_rectangle_is_a_pixel_or_two_and_the_largest_the_image(drawing):
    network, torch = drawing
    x = numbered(torch, 50, 1, 6, 4)
    one = network(ERASE=(1.0, 0.0, 0.0)).erased(x)
    assert set((one != x).flatten(1).sum(1).tolist()) <= {0, 1, 2}  # 0: it has that very value
    whole = network(ERASE=(1.0, 1.0, 1.0)).erased(x)
    assert all(len(image.unique()) == 1 for image in whole)


def test_images_are_augmented_where_something_is_learned_and_nowhere_else(drawing):
    network, torch = drawing
    model, x = network(SHIFT=1, ERASE=(0.5, 0.02, 0.2)), torch.rand(60, 1, 28, 28)
    plain = model.mlp(x.flatten(1))
    assert not torch.equal(model(x), plain)
    with torch.no_grad():
        assert torch.equal(model(x), plain)
    assert torch.equal(model.eval()(x), plain)
    generator = torch.get_rng_state()
    assert torch.equal(network(SHIFT=0, ERASE=None).augmented(x), x)
    torch.set_rng_state(generator)
    network(SHIFT=0, ERASE=None)(x)  # it draws nothing, beside its first weights
    after = torch.rand(1)
    network()
    assert torch.equal(torch.rand(1), after)


@pytest.mark.parametrize(
    ("form", "back"),
    [
        (lambda x: x[:, 0], lambda x: x[:, None]),
        (lambda x: x.flatten(1), lambda x: x.reshape(-1, 1, 9, 9)),
        (lambda x: x.expand(-1, 3, -1, -1).movedim(1, 3), lambda x: x.movedim(3, 1)[:, :1]),
    ],
    ids=["no channels", "rows", "colours last"],
)
def test_images_are_augmented_in_every_form(drawing, form, back):
    network, torch = drawing
    model, x = network(SHIFT=1, ERASE=(0.5, 0.02, 0.2)), numbered(torch, 30, 1, 9, 9)
    torch.manual_seed(1)
    expected = model.augmented(x)
    torch.manual_seed(1)
    found = model.augmented(form(x))
    assert found.shape == form(x).shape
    assert torch.equal(back(found), expected)


def test_inputs_that_are_no_images_are_left_alone(drawing):
    network, torch = drawing
    for shape in ((5, 785), (5, 3072), (5, 1, 4, 4, 4)):
        x = torch.rand(shape)
        assert network().augmented(x) is x
