"""The five labs' definitions, and each from (little) data to its report."""

import csv
import dataclasses
import html
import importlib
import itertools
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from helpers import labs_here, need_weasyprint
from image_files import image_folder

import funcnn as fn
from funcnn.experiments.data.emnist47 import EMNIST47
from funcnn.experiments.export.models import export_model
from funcnn.experiments.hand_in.deliverables import HAND_INS, find_trial, plain
from funcnn.experiments.hand_in.files import modules
from funcnn.experiments.hand_in.networks import task_of
from funcnn.experiments.labs import (
    emnist47,
    fashion,
    fashion_mlp,
    mnist,
    points,
    points_runs,
    sections,
    tables,
)
from funcnn.experiments.labs import run as lab_run
from funcnn.experiments.labs.lab import Results
from funcnn.experiments.labs.momentum_theory import recurrences_apart
from funcnn.experiments.labs.registry import LABS
from funcnn.experiments.labs.run import LabRun
from funcnn.experiments.labs.tables import verdict
from funcnn.experiments.reports.document import (
    Document,
    Formula,
    Items,
    Listing,
    Picture,
    Section,
    Table,
    Text,
)
from funcnn.experiments.reports.own_words import with_words
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.recipes import RECIPES
from funcnn.experiments.training.run_folder import EpochRow

torch = pytest.importorskip(
    "torch", reason="an experiment has runs of torch: pip install 'funcnn[torch]'"
)
need_weasyprint()

SIDE = 8


@pytest.mark.parametrize("lab", LABS.values(), ids=lambda lab: lab.name)
def test_every_trial_has_a_name_of_its_own_and_settings_that_are_good(lab):
    names = [trial.name for trial in lab.trials]
    assert len(set(names)) == len(names)
    results = Results(lab, Path("runs"), False, {}, EMNIST47)
    configs = {results.config(trial).to_json() for trial in lab.trials}
    own = [trial for trial in lab.trials if trial.settings.get("init") == "own"]
    assert len(configs) == len(lab.trials), own  # none is trained twice
    mains = [trial for trial in lab.trials if trial.main]
    assert mains
    assert all(trial.backends == ("numpy", "torch") for trial in mains)


@pytest.mark.parametrize(
    ("lab", "settings"),
    [
        (fashion, {"val_size": 10_000, "batch_size": 100, "data": "fashion-mnist"}),
        (emnist47, {"val_size": 8_000, "split": "last", "data": EMNIST47}),
        (mnist, {"test_curve": True, "optimizer": "sgd", "dropout": 0.0, "data": "mnist"}),
        (fashion_mlp, {"optimizer": "classical-momentum", "channels": ()}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_lab_asks_of_the_settings_holds(lab, settings):
    results = Results(lab.LAB, Path("runs"), False, {}, EMNIST47)
    for trial in lab.LAB.trials:
        if trial.main:
            config = results.config(trial)
            assert {name: getattr(config, name) for name in settings} == settings


def test_an_mlp_has_less_than_2_mb_and_another_of_the_lab_has_not():
    results = Results(fashion_mlp.LAB, Path("runs"), False, {}, EMNIST47)
    assert len({trial.settings["epochs"] for trial in fashion_mlp.TRIALS}) == 2
    for trial in fashion_mlp.TRIALS:
        widths = [784, *results.config(trial).hidden, 10]
        model = fn.serial(fn.Flatten(), *map(fn.Dense, widths[1:]))
        assert fn.summary(model, (1, 28, 28)).bytes < 2e6


def test_emnist47_prints_an_epoch_as_the_lab_asks():
    row = EpochRow(3, 1.23456, 0.5, 2.0, 0.4375, 0.1, 1.0)
    said = "Epoch:  3 |Train Loss:  1.2346 |Train Acc:50.0000 |Val Loss:  2.0000 |Val Acc:43.7500"
    assert emnist47.epoch_line(row) == said


def test_points_prints_an_epoch_as_the_lab_asks():
    row = EpochRow(10000, 0.16234523253277644, 0.5, None, None, 0.1, 1.0)
    assert points.epoch_line(row) == "epoch 10000 loss : 0.16234523253277644"


# --- from data to report ---------------------------------------------------------------------


class Done(NamedTuple):
    """A finished experiment."""

    results: Results
    page: str
    document: Document


def csv_folder(folder):
    """As the lab `emnist47` has it: no header, the label first, and none in test.csv."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name, count in (("train", 150), ("test", 25)):
        labels = np.arange(count) % 47
        pixels = generator.integers(0, 20, (count, SIDE * SIDE)) + 5 * labels[:, None]
        rows = np.column_stack((labels, pixels)) if name == "train" else pixels
        np.savetxt(folder / f"{name}.csv", rows, fmt="%d", delimiter=",")
    return folder


DOCUMENTS: list[Document] = []


def untouched(words, recorded):
    """As `with_words`; what nobody wrote on says what is recorded, and nothing else."""
    found = with_words(words, recorded)
    assert nested(found) == nested(recorded)
    DOCUMENTS.append(recorded)
    return found


def nested(part):
    """Blocks in sections, whether in lists or tuples."""
    if not isinstance(part, Document | Section):
        return part
    return part._replace(blocks=[*map(nested, part.blocks)])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished quick version of each lab, on few and small images."""
    folder = tmp_path_factory.mktemp("labs")
    images = str(image_folder(folder / "images", train=80, test=20, side=SIDE, classes=6))
    letters = str(csv_folder(folder / "letters"))
    few = {"epochs": 2, "val_size": 12, "batch_size": 8}
    found = {}
    for lab in LABS.values():
        quick = {"epochs": 3} if lab.name == "points" else few
        if lab.name not in ("points", "emnist47"):
            quick = {**quick, "data": images}
        small = lab._replace(quick=quick)
        data = letters if lab.on_emnist else None
        run = LabRun.open(small, True, folder / lab.name, data)
        with labs_here(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(lab_run, "with_words", untouched)
            page = run.finish()
        found[lab.name] = Done(run.results, page.read_text(), DOCUMENTS[-1])
    return found


TITLES = {
    "points": ("Introduction", "Experiment setups", "Results of your testing", "Discussion",
               "Extra"),
    "fashion": ("Data", "Validation accuracy of both parts", "Part 1: from scratch in NumPy",
                "Part 2: the same network in PyTorch",
                "What raised the accuracy", "The differences between the two parts"),
    "emnist47": ("Data", "Loss", "Network", "Activation", "Results", "What each choice changed"),
    "mnist": ("NN in NumPy", "NN in PyTorch", "CNN in NumPy", "CNN in PyTorch", "Comparison",
              "NumPy with PyTorch: CNN", "NN with CNN"),
    "fashion-mlp": ("Model", "What each ingredient gave", "Accuracy against size",
                    "Activations", "Loss", "Optimizer", "Another dataset", "What is handed in"),
}  # fmt: skip


@pytest.mark.parametrize("name", TITLES)
def test_a_report_has_the_labs_sections_in_order_and_its_numbers_from_the_runs(done, name):
    results, page, _ = done[name]
    places = [re.search(rf"{re.escape(title)}</h", page).start() for title in TITLES[name]]
    assert places == sorted(places)
    for trial in results.trials:
        for backend in trial.backends if trial.main else ():
            summary = results.summary(trial, backend)
            score = "test_accuracy" if summary["test_accuracy"] is not None else "val_accuracy"
            assert f"{100 * summary[score]:.2f}" in page
    assert (results.path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert "$" not in page, "TeX that is none"


def test_points_has_exactly_the_headings_of_its_sheet(done):
    found = re.findall(r"<h[23] id=\"section.*?>(.+?)</h", done["points"].page)
    assert [re.sub("<.*?>", "", heading) for heading in found] == [
        *("1 Introduction", "2 Experiment setups", "A Sigmoid functions", "B Neural network"),
        *("C Backpropagation", "3 Results of your testing"),
        *("A Screenshot and comparison figure", "B Show the accuracy of your prediction"),
        *("C Learning curve (loss, epoch curve)", "D Anything you want to present"),
        *("4 Discussion", "A Try different learning rates"),
        *("B Try different numbers of hidden units", "C Try without activation functions"),
        *("D Anything you want to share", "5 Extra", "A Implement different optimizers"),
        *("B Implement different activation functions", "C Implement convolutional layers"),
    ]


def sections_of(part):
    for block in part.blocks:
        if isinstance(block, Section):
            yield block
            yield from sections_of(block)


REST = {
    "fashion": {"What raised the accuracy"},
    "emnist47": {"What each choice changed"},
    "mnist": {"What each ingredient gave"},
    "fashion-mlp": {
        "What each ingredient gave",
        "Accuracy against size",
        "Activations",
        "Loss",
        "Optimizer",
        "Another dataset",
    },
}


@pytest.mark.parametrize("name", TITLES)
def test_of_the_main_runs_alone_a_report_has_all_but_what_the_others_show(done, name, monkeypatch):
    monkeypatch.setattr(tables, "drawn", lambda *args: True)
    whole = done[name].results
    said = (whole.machine, whole.emnist, whole.measured)
    alone = Results(whole.lab, whole.path, True, *said, main_only=True)
    assert all(trial.main for trial in alone.trials)
    document = whole.lab.report(alone)
    titles = {section.title for section in document.blocks}
    assert {section.title for section in done[name].document.blocks} - titles == REST.get(
        name, set()
    )
    said = ("Runs", "**only the main ones**: what each choice changed is not in here")
    assert (said in document.facts) == (name in REST) == alone.main_only


@pytest.mark.parametrize(
    ("name", "trial", "last"),
    [
        ("points", points.MAIN["xor"], ("fully connected", "sigmoid")),
        ("fashion", fashion.CNN, ("fully connected", "softmax")),
        ("mnist", mnist.NN, ("fully connected", "softmax")),
    ],
)
def test_the_network_is_drawn_with_what_makes_probabilities(done, name, trial, last, monkeypatch):
    monkeypatch.setattr(sections, "shown", lambda path, caption, draw, blocks: blocks)
    blocks = sections.drawing(done[name].results, trial)
    assert blocks[0].layers == ("Input",)
    assert blocks[-1].layers == last


@pytest.mark.parametrize("name", TITLES)
def test_a_sentence_of_judgement_stands_under_every_table_and_figure(done, name):
    judged = 0
    for section in sections_of(done[name].document):
        for block, below in itertools.pairwise([*section.blocks, None]):
            is_screen = isinstance(block, Picture) and block.alt
            is_network = isinstance(block, Picture) and block.path.stem.startswith("network-")
            if isinstance(block, Table | Picture) and not (is_screen or is_network):
                assert isinstance(below, Text | Items), (section.title, block.caption)
                judged += 1
    assert judged >= 8


CODE = re.compile(
    r"\b(numpy|torch|Conv|Dense|MaxPool|Relu|relu|FullyConnected|Flatten)\b|-seed-|/weight|/bias"
)
"""Names of our code, which a report has only in listings, and where it is marked as code."""


def words_of(part):
    """All that a reader of a report reads, but for listings, formulas and what is marked."""
    for block in part.blocks:
        if isinstance(block, Section):
            yield block.title
            yield from words_of(block)
        elif isinstance(block, Text):
            yield block.paragraph
        elif isinstance(block, Items):
            yield from block.sentences
        elif isinstance(block, Table):
            yield from itertools.chain(block.header, *block.rows)
        if isinstance(block, Table | Picture | Listing):
            yield block.caption


@pytest.mark.parametrize("name", TITLES)
def test_a_report_speaks_in_the_words_of_the_field(done, name):
    labels = [label for of in points.EXTRAS.values() for label in of] if name == "points" else []
    longest_first = sorted(map(re.escape, labels), key=len, reverse=True)
    marked = re.compile("|".join(["`.*?`", *longest_first]))  # labels as main.py prints them
    for said in words_of(done[name].document):
        assert not CODE.search(marked.sub("", said)), said


@pytest.mark.parametrize("name", ["fashion", "emnist47", "mnist"])
def test_the_tables_of_layers_say_the_sizes_of_windows(done, name):
    tables_of = {
        block.header: block
        for section in sections_of(done[name].document)
        for block in section.blocks
        if isinstance(block, Table) and any("convolution" in row[0] for row in block.rows)
    }
    rows = [row[0] for row in tables_of["layer", "output", "parameters"].rows]
    size = 5 if name == "mnist" else 3
    stage = [f"convolution {size} x {size}", "ReLU", "max-pooling 2 x 2"]
    assert rows[:7] == [*stage, *stage, "flatten"]
    assert rows[-2:] == ["fully connected", "all"]
    if name != "mnist":  # where both begin with the same
        first = [row[0] for row in tables_of["weights of", "NumPy", "PyTorch"].rows]
        assert first == ["first convolution", "second convolution", "fully connected layer"]


def test_runs_and_backends_are_named_in_words(done):
    said = list(words_of(done["mnist"].document))
    assert any("NumPy (seed 0) and PyTorch (seed 0) put" in each for each in said)
    assert any(re.search(r"Test accuracy: NumPy \d.*%, PyTorch ", each) for each in said)


def test_emnist47_speaks_of_sigmoids_only_where_they_were_tried(done, monkeypatch):
    monkeypatch.setattr(tables, "drawn", lambda *args: True)
    results, page, _ = done["emnist47"]
    assert "the first networks tried had sigmoids" in page
    said = (results.machine, results.emnist, results.measured)
    alone = Results(results.lab, results.path, True, *said, main_only=True)
    document = emnist47.report(alone)
    assert any("ReLU follows each convolution." in each for each in words_of(document))
    assert not any("sigmoid" in each for each in words_of(document))
    formulas = [
        line
        for section in sections_of(document)
        for block in section.blocks
        if isinstance(block, Formula)
        for line in block.lines
    ]
    assert any("ReLU" in line for line in formulas)
    assert not any("sigmoid" in line for line in formulas)


def test_emnist47_says_whether_the_test_images_have_labels(done, monkeypatch):
    results, page, _ = done["emnist47"]
    assert "has none either: every accuracy is that of the validation set." in page
    data = results.task(emnist47.CNN).data
    labelled = data._replace(test=(data.test[0], np.zeros(len(data.test[0]), int)))
    task = results.task(emnist47.CNN)._replace(data=labelled)
    monkeypatch.setattr(results, "task", lambda trial: task)
    said = emnist47._labels(results).paragraph
    assert "`letters`, which is read here, has them beside the images" in said
    assert "these are not the lab's own files: where `data/train.csv`" in said
    assert "Nothing was chosen by the test set" in said


def test_a_report_says_once_what_twice_a_standard_error_of_few_seeds_can_say():
    machine = {"cpu": "one", "cores": 2, "load": None, "system": "Linux"}

    def differences(seeds):
        results = Results(mnist.LAB, Path("runs"), False, machine, seeds=seeds)
        return dict(tables.facts(results)).get("Differences")

    # P(|T| > 2) of Student's t is 0.184 with 2 degrees of freedom, 0.116 with 4.
    assert "by chance in 18% of cases with 2 seeds" in differences(2)
    assert "by chance in 12% of cases with 3 seeds: that is a hint and no test" in differences(3)
    assert differences(1) is None


def test_points_shows_every_prediction_and_the_printed_losses(done):
    page = done["points"].page
    assert len(re.findall("<figure", page)) >= 12
    assert "classical_momentum" in page
    assert "epoch 3 loss : 0." in page
    assert "(21, 1)" in page
    assert "(100, 1)" in page
    assert "funcnn" not in page


@pytest.fixture
def program(tmp_path, monkeypatch):
    """main.py as it is handed in, but for its epochs, and a function that runs it."""
    hand_in = HAND_INS["points"]
    tasks = {name: task_of(points.LAB, find_trial(points.LAB, name)) for name in hand_in.trials}
    for name, content in modules(hand_in, tasks, plain).items():
        (tmp_path / name).write_bytes(content)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    main = importlib.import_module("main")
    assert RunConfig.resolve({"arch": "points"}).epochs == main.EPOCHS
    main.EPOCHS, main.SEEDS = 3, (0,)  # as of the quick version that is done here
    yield main
    for name in ("main", "optimizers", "layer", "network"):
        sys.modules.pop(name, None)


def test_points_main_prints_the_numbers_of_the_report_one_by_one(done, program, capsys):
    results, page, _ = done["points"]
    program.main("all")
    printed = capsys.readouterr().out
    shown = html.unescape(re.sub(r"</t[dh]>", " ", page))
    shown = re.sub(r"<[^>]+>", "", shown)

    main, *extras = re.split(r"\n(\S+): accuracy, and loss after 3 epochs.*\n", printed)
    numbers = [line for line in main.splitlines() if re.search(r"\d\.\d\d", line)]
    assert len(numbers) == 2 * (3 + 3) + 100 + 21 + 2
    assert [line for line in numbers if line not in shown] == []
    # As the command prints it, the figures' names apart.
    said = [line for line in main.splitlines() if line and not line.startswith("see ")]
    assert points.closing(results).splitlines() == said

    assert extras[::2] == list(points.EXTRAS) == list(program.EXTRAS)
    for extra, table in zip(extras[::2], extras[1::2], strict=True):
        rows = re.findall(r"^(.+?) +(\d+\.\d\d)% +loss (\d\.\de[+-]\d\d)$", table, re.M)
        assert [label for label, *_ in rows] == list(points.EXTRAS[extra])
        for label, accuracy, loss in rows:
            assert re.search(rf"{label}\s+{accuracy}\s+{re.escape(loss)}\s", shown), label
            *_, last = program.learn(**{"name": "xor", **program.EXTRAS[extra][label]})[2]
            (run,) = points_runs.runs_of(results, points.EXTRAS[extra][label])
            assert last == pytest.approx(run.loss, rel=1e-12), label
    figures = {f"{name}.png" for name in (*points.EXTRAS, "learning_curve")}
    assert figures | {f"prediction_{name}.png" for name in points.MAIN} == {
        path.name for path in Path().glob("*.png")
    }


@pytest.mark.parametrize(
    ("name", "trial", "backend", "file", "rows"),
    [
        ("fashion", fashion.CNN, "numpy", fashion.FILE, 20),
        ("emnist47", emnist47.CNN, "numpy", emnist47.FILE, 25),
        ("fashion-mlp", fashion_mlp.MAIN, "torch", "submission.csv", 20),
    ],
)
def test_the_predictions_are_in_the_labs_form(done, name, trial, backend, file, rows):
    results = done[name].results
    with open(results.path / file, newline="") as opened:
        header, *found = csv.reader(opened)
    assert header == ["Id", "Category"]
    assert [line[0] for line in found] == [str(number) for number in range(rows)]
    images = results.task(trial).data.test[0]
    outputs = results.model(trial, backend).predict(images)
    assert [line[1] for line in found] == [str(each) for each in outputs.argmax(1)]


def test_no_report_says_where_emnist_is_on_a_student_s_disk(done):
    for results, page, _ in done.values():
        assert str(results.path.with_name("letters")) not in page, results.lab.name
    assert ">letters</code>, the last 8,000 rows" in done["emnist47"].page


def test_without_test_labels_there_are_dashes_and_what_is_shown_is_of_the_validation_set(done):
    results, page, _ = done["emnist47"]
    assert results.summary(emnist47.CNN)["test_accuracy"] is None
    assert "Confusion matrix of the validation set" in page
    assert "predicted in the end, without labels" in page
    assert re.search(r"\|Val Acc:\d+\.\d{4}", page)
    assert 'class="number">-<' in page or ">-</td>" in page


def test_the_four_of_mnist_have_test_curves_probabilities_and_the_surest_images(done):
    results, page, _ = done["mnist"]
    for trial in (mnist.NN, mnist.CNN):
        for backend in trial.backends:
            assert all(row.test_accuracy is not None for row in results.rows(trial, backend))
            for kind in ("probabilities", "top-three"):
                assert (results.path / f"figures/{kind}-{trial.name}-{backend}.png").is_file()
    assert len(re.findall("<figcaption>.*three highest probabilities of every class", page)) == 4


def test_the_parameters_of_fashion_mlp_are_read_safely_and_fit_its_module(done, tmp_path):
    results = done["fashion-mlp"].results
    tensors = torch.load(results.path / "submission.pt", weights_only=True)
    assert list(tensors)[:3] == ["mlp.0.weight", "mlp.0.bias", "mlp.2.weight"]
    tensors = {f"{int(name.split('.')[1]) + 1}.{name.split('.')[2]}": tensors[name]
               for name in tensors}  # fmt: skip
    folder = results.folder(fashion_mlp.MAIN, "torch", 0)
    written = export_model(folder.path, "pt", tmp_path / "again.pt")
    names: dict = {}
    exec(written["definition"], names)
    names["model"].load_state_dict(tensors, strict=True)
    assert all(isinstance(part, torch.nn.Linear) or not list(part.parameters())
               for part in names["model"])  # fmt: skip
    images = results.task(fashion_mlp.MAIN).data.test[0]
    trained = results.model(fashion_mlp.MAIN, "torch")
    with torch.no_grad():
        theirs = names["model"](torch.from_numpy(images / np.float32(255))).numpy()
    np.testing.assert_allclose(theirs, trained.predict(images), atol=1e-5)


def test_fashion_mlp_compares_all_nine_activations_and_both_recurrences(done):
    page = done["fashion-mlp"].page
    for name in ("identity", "binary step", "sigmoid", "tanh", "arctan", "ReLU", "PReLU",
                 "ELU", "softplus"):  # fmt: skip
        assert f">{name}<" in page
    for name in ("the lab&#39;s, constant rate", "PyTorch&#39;s, falling rate"):
        assert name in page
    assert "EMNIST, 47 classes" in page


@pytest.mark.parametrize("lab", [fashion_mlp, mnist], ids=lambda lab: lab.LAB.name)
def test_a_report_says_what_each_ingredient_gave(lab, done):
    (section,) = (
        section
        for section in sections_of(done[lab.LAB.name].document)
        if section.title == "What each ingredient gave"
    )
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    (items,) = (block for block in section.blocks if isinstance(block, Items))
    left_out, added = [*lab.INGREDIENTS.without], [*lab.INGREDIENTS.added]
    assert [row[0] for row in table.rows] == [
        "everything",
        *(f"without {word}" for word in left_out),
        *(f"with {word}" for word in added),
    ]
    if lab is fashion_mlp:
        assert left_out == ["shifts", "erasing", "weight decay", "the falling rate"]
        assert added == ["flips"]
    else:
        assert left_out == ["deformations", "weight decay", "the falling rate"]
    for word, said in zip(left_out + added, items.sentences, strict=True):
        assert said.removeprefix("**").startswith(f"{word}: ")
        assert re.search(r"(Why: |It was tried because )\w+", said) or "it cost" in said


@pytest.mark.parametrize("lab", [fashion, emnist47], ids=lambda lab: lab.LAB.name)
def test_a_report_says_what_augmentation_gives_a_network_of_few_epochs(lab, done):
    results = done[lab.LAB.name].results
    (section,) = (
        section
        for section in sections_of(done[lab.LAB.name].document)
        if section.title == "Augmentation"
    )
    (items,) = (block for block in section.blocks if isinstance(block, Items))
    for (word, trial), said in zip(lab.AUGMENTED.items(), items.sentences, strict=True):
        assert said.removeprefix("**").startswith(f"{word}: ")
        changed = results.config(trial)
        assert changed == dataclasses.replace(results.config(lab.CNN), augment=changed.augment)
        assert changed.augment != "none"


@pytest.mark.parametrize(
    ("lab", "recipe"),
    [(fashion_mlp, "fashion-mlp"), (mnist, "mnist-nn")],
    ids=["fashion-mlp", "nn"],
)
def test_what_is_tried_is_a_sixth_of_the_recipe_but_for_one_thing(lab, recipe):
    results = Results(lab.LAB, Path("runs"), False, {}, EMNIST47)
    tried = lab.INGREDIENTS
    main, ours = (results.config(trial) for trial in (tried.main, tried.ours))
    shown = {"test_curve": lab is mnist}
    assert main == RunConfig.resolve({**RECIPES[recipe].settings, **shown})
    assert ours == dataclasses.replace(main, epochs=main.epochs // 6)
    for trial in (*tried.without.values(), *tried.added.values()):
        settings, whole = results.config(trial).as_data(), ours.as_data()
        (changed,) = (name for name in settings if settings[name] != whole[name])
        assert changed in ("augment", "weight_decay", "schedule")
    others = fashion_mlp.OTHERS.values() if lab is fashion_mlp else ()
    for trial in tried.trials[2:] if lab is mnist else lab.TRIALS[2:]:
        beside = main if trial in others else ours
        changed = {**beside.as_data(), **trial.settings}
        assert results.config(trial).as_data() == RunConfig.resolve(changed).as_data()
        assert results.config(trial).epochs == beside.epochs
    assert tried.rest(results) == (
        f"NumPy; {ours.epochs} epochs, a sixth of the {main.epochs} of what is handed in; "
        "everything else as above"
    )


def test_a_report_says_whether_the_lowest_run_has_what_the_lab_asks():
    class Few:
        seeds = range(2)

        def __init__(self, test):
            self.scores = {"val_accuracy": [0.9, 0.85], "test_accuracy": test}

        def spread(self, trial, backend, score):
            return self.scores[score]

        def summary(self, trial, backend="numpy", seed=0):
            scores = {name: values[seed] for name, values in self.scores.items() if values}
            return scores | {"test_is": "the test set"}

    def said(test, asked):
        return verdict(Few(test), mnist.NN, asked, "test_accuracy").paragraph

    asks = "The lab asks for 80 %. On the {} set, "
    assert said([0.81, 0.82], 0.8) == asks.format("test") + (
        "the lowest of the runs on each side: NumPy **81.00 %**, PyTorch **81.00 %**; met."
    )
    assert said([0.81, 0.79], 0.8).endswith("**79.00 %**; NumPy and PyTorch below it.")
    assert said(None, 0.8).startswith(asks.format("validation"))
    assert "85.00" in said(None, 0.8)


def test_the_two_recurrences_agree_under_a_constant_rate_and_part_under_a_falling_one(done):
    task = done["fashion-mlp"].results.task(fashion_mlp.MAIN)
    constant = recurrences_apart(task, "constant", 8)
    falling = recurrences_apart(task, "cosine", 8)
    assert len(constant) == len(falling) == 8
    assert max(constant) < 1e-13
    assert falling[0] < 1e-13  # the first step has no velocity to keep
    assert falling[-1] > 1e-3
    assert all(a < b for a, b in itertools.pairwise(falling))
