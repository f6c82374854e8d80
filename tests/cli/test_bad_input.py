"""Every bad input: one clear line, an exit code that is not 0, and nothing lost or half written."""

import gzip
import hashlib
import io
import json
import os
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from commands import expect_one_line, tree_digest
from image_files import idx_bytes, image_folder, write_idx
from PIL import Image

from funcnn.cli import main

TRAIN_IMAGES = "images/train-images-idx3-ubyte.gz"
TRAIN_LABELS = "images/train-labels-idx1-ubyte.gz"
TEST_LABELS = "images/t10k-labels-idx1-ubyte.gz"
TEST_IMAGES = "images/t10k-images-idx3-ubyte.gz"
PARAMS = "run/params.npz"
LAST = "stopped/last.npz"
METRICS = "run/metrics.csv"

TINY = "--arch mlp2 --hidden 5 --data images --val-size 12 --epochs 2 --batch-size 8 --quiet"
TRAIN = f"train {TINY} --out new"
EVALUATE = "evaluate run"
PREDICT = "predict run --data images/t10k-images-idx3-ubyte.gz --out new.csv"
INSPECT = f"inspect {PARAMS}"
RESUME = "train --resume stopped"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """What each row finds: images, a data set of a known name, a finished run, a stopped one."""
    folder = tmp_path_factory.mktemp("prepared")
    image_folder(folder / "images", suffix=".gz")
    image_folder(folder / "sets" / "mnist", suffix=".gz")
    write_idx(folder / "small-images", np.zeros((3, 2, 2), "u1"))
    write_idx(folder / "some-labels", np.zeros(3, "u1"))
    (folder / "note.txt").write_text("not what you look for\n")
    (folder / "empty").write_bytes(b"")
    (folder / "folder").mkdir()
    (folder / "table").mkdir()
    table = (np.arange(40 * 17).reshape(40, 17) + 1) % 256
    table[:, 0] = np.arange(40) % 3
    np.savetxt(folder / "table" / "train.csv", table, "%d", ",")
    np.savetxt(folder / "table" / "test.csv", table[:9, 1:], "%d", ",")
    for part in ("train/a", "train/b", "test/a"):
        (folder / "pictures" / part).mkdir(parents=True)
        for index in range(9):
            Image.new("L", (4, 4), index).save(folder / "pictures" / part / f"{index}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(main, f"train {TINY} --out run")
    assert done.exit_code == 0, done.output
    stopped = shutil.copytree(folder / "run", folder / "stopped")
    for name in ("summary.json", "learning_curve.png", "confusion_matrix.png"):
        (stopped / name).unlink()
    return folder


# --- damage: each a function that is run in the folder -----------------------------------------


def nothing():
    pass


def cut(file, length=-9):
    return lambda: Path(file).write_bytes(Path(file).read_bytes()[:length])


def flip(file, *, part=0.5):
    def damage():
        content = bytearray(Path(file).read_bytes())
        content[int(len(content) * part)] ^= 0x10
        Path(file).write_bytes(content)

    return damage


def write(file, content):
    return lambda: Path(file).write_bytes(content)


def unpacked(file, change):
    """Change the content of a gzip file, as bytes."""
    return lambda: Path(file).write_bytes(gzip.compress(change(gzip.decompress(read(file)))))


def read(file):
    return Path(file).read_bytes()


def store(file, array):
    return lambda: write_idx(Path(file), array)


def delete(*files):
    return lambda: [Path(file).unlink() for file in files]


def touch(file):
    return lambda: Path(file).touch()


def copy(source, target):
    return lambda: shutil.copy(source, target)


def folder_for_file(file):
    def damage():
        Path(file).unlink()
        Path(file).mkdir()

    return damage


def edit_json(file, **changes):
    def damage():
        Path(file).write_text(json.dumps(json.loads(Path(file).read_text()) | changes))

    return damage


def snapshot(file, **changes):
    """Change members of a snapshot, whose digests stay right; None takes one away."""

    def damage():
        with zipfile.ZipFile(file) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        header = json.loads(members["header.json"])
        for name, value in changes.items():
            name = name.replace("_", "/")
            if name in header:
                header[name] = value
            elif value is None:
                del members[f"{name}.npy"]
            else:
                members[f"{name}.npy"] = value
                if name in header["sha256"]:
                    header["sha256"][name] = hashlib.sha256(value).hexdigest()
        members["header.json"] = json.dumps(header).encode()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return damage


def header(file, **changes):
    """Change entries of a snapshot's header; None takes one away."""

    def damage():
        with zipfile.ZipFile(file) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        values = json.loads(members["header.json"]) | changes
        members["header.json"] = json.dumps(
            {name: value for name, value in values.items() if value is not MISSING}
        ).encode()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return damage


MISSING = "this entry is missing"


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


class Pickled:
    """What would make a folder if anybody unpickled it."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


PICKLED = npy(np.array([Pickled()], object))
BAD_MAGIC = b"\0\0\x07\x03"


# --- the table -------------------------------------------------------------------------------


def row(name, command, *said, after=nothing):
    return pytest.param(command, said, after, id=name)


DATA = [
    row("gz truncated", TRAIN, TRAIN_IMAGES, after=cut(TRAIN_IMAGES)),
    row("gz corrupted", TRAIN, TRAIN_IMAGES, after=flip(TRAIN_IMAGES)),
    row("gz corrupted at its end", TRAIN, TEST_LABELS, after=flip(TEST_LABELS, part=0.95)),
    row(
        *("wrong magic number", TRAIN, TRAIN_IMAGES, "0x00000703"),
        after=unpacked(TRAIN_IMAGES, lambda content: BAD_MAGIC + content[4:]),
    ),
    row(
        *("fewer pixels than claimed", TRAIN, TRAIN_IMAGES, "60 x 4 x 4", "950"),
        after=unpacked(TRAIN_IMAGES, lambda content: content[:-10]),
    ),
    row(
        *("counts of images and labels differ", TRAIN, TRAIN_LABELS, "60 images", "59 labels"),
        after=store(TRAIN_LABELS, np.zeros(59, "u1")),
    ),
    row(
        *("test label that no training image has", TRAIN, "images", "label 7"),
        after=store(TEST_LABELS, np.full(20, 7, "u1")),
    ),
    row(
        *("label below 0", TRAIN, "images: test label", "1 classes (-3)"),
        after=store(TRAIN_LABELS, np.full(60, -3, "i1")),
    ),
    row(
        *("label far above the number of images", TRAIN, "images: test label", "(5000000)"),
        after=store(TRAIN_LABELS, np.full(60, 5_000_000, "i4")),
    ),
    row(
        *("label of a class with no training image", TRAIN, "images: test label 200", "classes"),
        after=store(TEST_LABELS, np.array([0, 1, 2, 200] * 5, "u1")),
    ),
    row("labels that are fractions", TRAIN, TRAIN_LABELS, after=store(TRAIN_LABELS, np.ones(60))),
    row(
        *("test images of another size", TRAIN, "images", "5 x 5"),
        after=store(TEST_IMAGES, np.zeros((20, 5, 5), "u1")),
    ),
    row("empty file", TRAIN, TRAIN_IMAGES, "empty", after=write(TRAIN_IMAGES, b"")),
    row(
        "folder for a file",
        TRAIN,
        "images",
        "train images is needed, found none",
        after=folder_for_file(TRAIN_IMAGES),
    ),
    row("missing file", TRAIN, "images", "test labels", after=delete(TEST_LABELS)),
    row("file for a folder", TRAIN + " --data note.txt", "note.txt", ".csv.gz"),
    row(
        "images without labels", TRAIN + " --data small-images", "--data", "small-images", "labels"
    ),
    row("folder of nothing", TRAIN + " --data folder", "folder", "no data set"),
    row("unknown data set", TRAIN + " --data fashion-mnits", "--data", "fashion-mnits"),
    row("empty name of a data set", [*TRAIN.split(), "--data", ""], "--data"),
    row("not the published file", "train --data mnist --out new", "sets/mnist", "SHA-256"),
    row("points for images", TRAIN + " --data points-xor", "--data", "points-xor", "mlp2"),
    row("images for points", "train --arch points --data images --out new", "--data", "images"),
    row("data duplicates: unknown", "data duplicates nope", "nope"),
    row("data duplicates: points", "data duplicates points-xor", "points-xor is generated"),
    row("data show: unknown", "data show nope", "nope"),
    row("data show: damaged", "data show images", TRAIN_IMAGES, after=cut(TRAIN_IMAGES)),
]

CSV = "train --arch mlp2 --data table --out new"
TABLE = "table/train.csv"


def change_line(number, change, file=TABLE):
    """Change a line of a CSV file, without its end."""

    def damage():
        lines = read(file).split(b"\n")
        lines[number - 1] = change(lines[number - 1])
        write(file, b"\n".join(lines))()

    return damage


def field(number, value, file=TABLE):
    """Change the third value of a line."""

    def change(line):
        fields = line.split(b",")
        return b",".join([*fields[:2], value, *fields[3:]])

    return change_line(number, change, file)


def columns(keep, file=TABLE):
    """Keep some of the columns."""
    return lambda: write(
        file, b"\n".join(b",".join(line.split(b",")[keep]) for line in read(file).split())
    )()


def claim_npz():
    """An array of a few bytes that claims a terabyte."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1048576, 1024, 1024)}\n"
    with zipfile.ZipFile("a.npz", "w") as archive:
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header)
        archive.writestr("y_train.npy", npy(np.zeros(3, int)))


def zip_of(*names, file="a.zip"):
    def make():
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, b"content")

    return make


def picture(mode, size=(4, 4)):
    return lambda: Image.new(mode, size).save("pictures/train/b/0.png")


TERABYTE = struct.pack(">III", 1 << 20, 1 << 10, 1 << 10)
NPZ = "train --arch mlp2 --data a.npz --out new"
ZIP = "train --arch mlp2 --data a.zip --out new"
PNG = "train --arch mlp2 --data pictures --out new"
FETCH = "data fetch mnist --to new"
FORMS = [
    row("csv: missing column", CSV, TABLE, "16 columns", after=columns(slice(0, -1))),
    row("csv: no label", CSV, TABLE, "no label", after=columns(slice(1, None))),
    row("csv: no labels, no name", CSV, TABLE, "15 columns", after=columns(slice(2, None))),
    row("csv: letter", CSV, TABLE, "line 7, column 3", "'x'", after=field(7, b"x")),
    row("csv: NaN", CSV, TABLE, "line 7, column 3", "'NaN'", after=field(7, b"NaN")),
    row("csv: nothing", CSV, TABLE, "line 7, column 3", "''", after=field(7, b"")),
    row("csv: pixel of 256", CSV, TABLE, "line 7, column 3", "'256'", after=field(7, b"256")),
    row("csv: ragged", CSV, TABLE, "line 7", "18", "17", after=field(7, b"1,1")),
    row("csv: empty line", CSV, TABLE, "line 7", "empty", after=change_line(7, lambda line: b"")),
    row(
        *("csv: a column that its header of numbers lacks", CSV, TABLE, "line 2", "17", "16"),
        after=change_line(1, lambda line: b",".join(b"%d" % index for index in range(16))),
    ),
    row("csv: empty", CSV, TABLE, "empty", after=write(TABLE, b"")),
    row("csv: UTF-16", CSV, TABLE, "UTF-8", after=write(TABLE, "1,2,3\n".encode("utf-16"))),
    row("csv: no training images", CSV, "table", "train", after=delete(TABLE)),
    row(
        *("csv: test ragged", CSV, "table/test.csv", "line 2"),
        after=field(2, b"1,1", "table/test.csv"),
    ),
    row("csv: alone, no labels", CSV + " --data table/test.csv", "--data", "table/test.csv"),
    row(
        "predict: csv",
        "predict run --data table/test.csv --out new.csv",
        "test.csv",
        "line 3",
        after=field(3, b"-1", "table/test.csv"),
    ),
    row(
        "npz: objects",
        NPZ,
        "a.npz",
        "x_train",
        "objects",
        after=lambda: np.savez("a.npz", x_train=np.array([Pickled()], object), y_train=[1]),
    ),
    row("npz: claims a terabyte", NPZ, "a.npz", "x_train", "1,099,511,627,776", after=claim_npz),
    row("npz: other arrays", NPZ, "a.npz", "weight", after=lambda: np.savez("a.npz", weight=[1])),
    row("npz: no .npy", NPZ, "a.npz", "it has images", after=zip_of("images", file="a.npz")),
    row("npz: text", NPZ, "a.npz", "zip", after=write("a.npz", b"hello")),
    row("npz: missing", NPZ, "a.npz"),
    row("npz: a snapshot", TRAIN + f" --data {PARAMS}", PARAMS, "header.json"),
    row("zip: a path that leaves", ZIP, "a.zip", "../evil", after=zip_of("a", "../evil")),
    row("zip: an absolute path", ZIP, "a.zip", "/etc/evil", after=zip_of("/etc/evil")),
    row("zip: nothing in it", ZIP, "a.zip", "train images", after=zip_of("b")),
    row(
        *("zip: two of one name", ZIP, "a.zip", "a/train-images-ubyte", "b/train-images-ubyte"),
        after=zip_of("a/train-images-ubyte", "b/train-images-ubyte"),
    ),
    row("zip: damaged", ZIP, "a.zip", after=write("a.zip", b"PK")),
    row("png: see-through", PNG, "train/b/0.png", "transparent", after=picture("RGBA")),
    row("png: another size", PNG, "train/b/0.png", "4 x 5", after=picture("L", (4, 5))),
    row("png: damaged", PNG, "train/b/0.png", after=cut("pictures/train/b/0.png", 40)),
    row(
        *("idx: claims a terabyte", TRAIN, TRAIN_IMAGES, "1,099,511,627,776"),
        after=unpacked(TRAIN_IMAGES, lambda content: content[:4] + TERABYTE + content[16:]),
    ),
    row("fetch: no connection", FETCH, "http://127.0.0.1:9/mnist/", "cannot be reached"),
    row("fetch: unknown", "data fetch nope", "nope", "known: fashion-mnist"),
    row("fetch: generated", "data fetch points-xor", "points-xor", "generated"),
    row("fetch: no folder", "data fetch mnist --to note.txt", "note.txt"),
    row("path: unknown", "data path nope", "nope"),
    row("path: generated", "data path points-xor", "points-xor", "generated"),
    row("path: nowhere", "data path emnist-bymerge", "emnist-bymerge", "sets", "data fetch"),
    row("verify: unknown", "data verify nope", "nope"),
    row("verify: nowhere", "data verify emnist-bymerge", "emnist-bymerge", "data fetch"),
    row(
        "nowhere, no connection",
        TRAIN + " --data emnist-balanced",
        "emnist-balanced",
        "sets",
        "cannot be reached",
        "data fetch",
    ),
]

OPTIONS = [
    row(f"{option} {value or 'empty'}", [*TRAIN.split(), option, value], option, value)
    for option, values in {
        "--arch": ["mlp4", ""],
        "--hidden": ["abc", "0x3", "-5", "4x", "4.5", "1000000000000", "1" + "0" * 20],
        "--activation": ["rleu"],
        "--optimizer": ["sdg"],
        "--schedule": ["cosin"],
        "--split": ["first"],
        "--weight-init": ["zeros"],
        "--loss": ["hinge"],
        "--lr": ["nan", "inf", "-1", "fast"],
        "--weight-decay": ["nan", "-0.1"],
        "--momentum": ["1", "nan", "-0.5"],
        "--dropout": ["1", "-0.1"],
        "--label-smoothing": ["1", "nan"],
        "--class-weights": ["balance"],
        "--patience": ["0", "-1", "1.5", "many"],
        "--epochs": ["0", "1.5", "many"],
        "--batch-size": ["0", "49"],
        "--val-size": ["60", "-1"],
        "--seed": ["-1", "x", "9" * 20],
        "--threads": ["0", "two"],
    }.items()
    for value in values
] + [
    row(
        "patience without a validation set",
        TRAIN.replace("--val-size 12", "--val-size 0") + " --val-size 0 --patience 2",
        *("--patience 2", "--val-size"),
    ),
    row("adagrad with momentum", TRAIN + " --optimizer adagrad --momentum 0.5", "--momentum"),
    row("nesterov without momentum", TRAIN + " --optimizer nesterov --momentum 0", "--momentum"),
    row(
        "smoothing for points",
        "train --arch points --label-smoothing 0.1 --out new",
        *("--label-smoothing", "0.1"),
    ),
    row(
        "smoothing of squared errors",
        TRAIN + " --loss squared-error --label-smoothing 0.1",
        *("--label-smoothing", "0.1", "--loss squared-error"),
    ),
    row(
        "weight init of torch's own modules",
        TRAIN + " --backend torch --weight-init normal",
        *("--weight-init normal", "needs --init shared for --backend torch"),
    ),
    row(
        "test curve without labels",
        "train --arch mlp2 --data table --val-size 0 --batch-size 8 --test-curve --out new",
        *("--test-curve", "table", "no labels"),
    ),
    row("resume: with --recipe", f"{RESUME} --recipe fashion-mlp", "leave out --recipe"),
    row("resume: with --show", f"{RESUME} --show", "--resume", "leave out --show"),
    row("resume: with --test-curve", f"{RESUME} --test-curve", "--resume", "--test-curve"),
    row("unknown option", TRAIN + " --learning-rate 1", "--learning-rate"),
    row("option without its value", "train --lr", "--lr"),
    row("surplus argument", TRAIN + " mlp3", "mlp3"),
    row("unknown command", "trian", "trian"),
    row("unknown command of a group", "data shwo", "shwo"),
    row("no argument", "evaluate", "RUN"),
    row("no option", "predict run --out new.csv", "--data"),
    row("check: unknown arch", "check mlp9", "mlp9"),
    row("check: unknown activation", "check mlp2 --activation no", "--activation", "no"),
    row("check: sizes", "check mlp2 --hidden abc", "--hidden", "abc"),
    row("check: too large", "check mlp2 --hidden 1000000000000", "--hidden", "1000000000000"),
]

PLACES = [
    row("out is a run", TRAIN + " --out run", "--out", "run"),
    row("out is a stopped run", TRAIN + " --out stopped", "--out", "stopped"),
    row("out is a folder in use", TRAIN + " --out images", "--out", "images"),
    row("out is a file", TRAIN + " --out note.txt", "--out", "note.txt"),
    row("out is below a file", TRAIN + " --out note.txt/run", "--out", "note.txt/run"),
    row("out cannot be written", TRAIN + " --out /proc/nowhere/run", "--out", "/proc/nowhere/run"),
    row(
        *("runs is a file", f"train {TINY}", "--out", "runs"),
        after=write("runs", b"in the way"),
    ),
    row("predict: out exists", PREDICT + " --out note.txt", "--out", "note.txt"),
    row("predict: out is a folder", PREDICT + " --out folder", "--out", "folder"),
    row("predict: out in a file", PREDICT + " --out note.txt/new.csv", "note.txt is a file, not a"),
    row("predict: out not writable", PREDICT + " --out /proc/nowhere.csv", "/proc/nowhere.csv"),
    row("data show: out is no PNG", "data show images --out new.jpg", "--out new.jpg", ".png"),
    row(
        *("data duplicates: out exists", "data duplicates images --out note.txt"),
        *("--out", "note.txt"),
    ),
    row("data show: out exists", "data show images --out note.txt", "--out", "note.txt"),
    row(
        "data show: out in a file", "data show images --out note.txt/new.png", "note.txt is a file"
    ),
]

CONFIG = "train --config run/config.json --out new"
CONFIGS = [
    row("init without torch", f"{CONFIG} --init shared", "--init is for --backend torch: leave it"),
    row("config: a run's folder", "train --config run --out new", "give run/config.json"),
    row("config of another arch", CONFIG + " --arch softmax", "--arch", "softmax", "mlp2"),
    row("config missing", "train --config none.json --out new", "none.json"),
    row("recipe and config", f"{CONFIG} --recipe fashion-mlp", "--recipe", "leave out --config"),
    row("recipe and a model", "train --recipe fashion-mlp --model m.py:net --out new", "m.py"),
    row(
        *("recipe of another arch", "train --recipe fashion-mlp --arch cnn3 --out new"),
        *("--arch cnn3", "--recipe fashion-mlp", "mlp3"),
    ),
    row("recipe: none such", "train --recipe fashion --out new", "--recipe", "fashion-mlp"),
    row("augment beyond the images", f"{TRAIN} --augment shift=9", "--augment shift=9", "pixels"),
    row("augment: too many numbers", f"{TRAIN} --augment erase=0.5:0:1:9", "erase takes 3 numbers"),
    row("augment: beyond all measure", f"{TRAIN} --augment affine=0:1e300", "scale must be"),
    row("augment: elastic beyond", f"{TRAIN} --augment elastic=8:1e9", "sigma must be"),
    row("show and distributed", f"{TRAIN} --show --distributed", "leave out --distributed"),
    row("augment points", "train --arch points --augment flip --out new", "--augment flip", "none"),
    row("config is a folder", "train --config folder --out new", "folder"),
    row("config cut short", CONFIG, "run/config.json", after=cut("run/config.json")),
    row("config empty", CONFIG, "run/config.json", after=write("run/config.json", b"")),
    row("config not text", CONFIG, "run/config.json", after=write("run/config.json", b"\xff\0")),
    row("config a list", CONFIG, "run/config.json", "list", after=write("run/config.json", b"[]")),
    row(
        *("config nested too deep", CONFIG, "run/config.json"),
        after=write("run/config.json", b"[" * 100_000),
    ),
    row(
        *("config with an unknown setting", CONFIG, "run/config.json", "learning_rate"),
        after=edit_json("run/config.json", learning_rate=0.1),
    ),
    row(
        *("config with a wrong hidden", CONFIG, "run/config.json", "hidden", "2.5"),
        after=edit_json("run/config.json", hidden=[2.5]),
    ),
    *(
        row(
            *(f"config with a wrong {name}", CONFIG, "run/config.json", name, str(value)),
            after=edit_json("run/config.json", **{name: value}),
        )
        for name, value in {
            "lr": "0.1",
            "arch": ["mlp2"],
            "optimizer": {},
            "data": [1],
            "epochs": -2,
            "seed": None,
        }.items()
    ),
]

RESUMES = [
    row("resume: finished", "train --resume run", "run", "finished"),
    row("resume: no such folder", "train --resume none", "none"),
    row("resume: not a run", "train --resume images", "images", "config.json"),
    row("resume: a file", "train --resume note.txt", "note.txt"),
    *(
        row(f"resume: with {option}", f"{RESUME} {option} {value}", option, "--resume")
        for option, value in {
            "--lr": "0.1",
            "--batch-size": "8",
            "--seed": "0",
            "--arch": "mlp2",
            "--hidden": "0",
            "--config": "run/config.json",
            "--out": "new",
        }.items()
    ),
    row(
        *("resume: config damaged", RESUME, "stopped/config.json"),
        after=cut("stopped/config.json"),
    ),
    row(
        *("resume: config of another net", RESUME, LAST, "(5,)", "(6,)"),
        after=edit_json("stopped/config.json", hidden=[6]),
    ),
    row(
        *("resume: config with a wrong value", RESUME, "stopped/config.json", "lr", "-1"),
        after=edit_json("stopped/config.json", lr=-1),
    ),
    row("resume: last.npz cut short", RESUME, LAST, after=cut(LAST, 700)),
    row("resume: last.npz with a flipped byte", RESUME, LAST, after=flip(LAST, part=0.55)),
    row("resume: last.npz empty", RESUME, LAST, after=write(LAST, b"")),
    row("resume: last.npz is a folder", RESUME, LAST, after=folder_for_file(LAST)),
    row("resume: last.npz is the model's", RESUME, LAST, after=copy(PARAMS, LAST)),
    row("resume: last.npz without rows", RESUME, LAST, after=header(LAST, notes=None)),
    row("resume: last.npz with odd rows", RESUME, LAST, after=header(LAST, notes={"rows": [[1]]})),
    row(
        *("resume: config with another lr", RESUME, "stopped/config.json", "lr is 0.123", "begun"),
        after=edit_json("stopped/config.json", lr=0.123),
    ),
    row(
        *("resume: other epochs in the config", RESUME, "epochs is 77", "--epochs 77"),
        after=edit_json("stopped/config.json", epochs=77),
    ),
    row("resume: no epochs", f"{RESUME} --epochs 0", "--epochs", "0"),
    row("resume: epochs of a run that ended", "train --resume run --epochs 1", "--epochs 1", "run"),
    row("resume: the data is gone", RESUME, "images", "test labels", after=delete(TEST_LABELS)),
]

SNAPSHOTS = [
    row("snapshot missing", "inspect none.npz", "none.npz", "No such file"),
    row("snapshot is a folder", "inspect folder", "folder is not the folder of a run"),
    row("snapshot is nowhere", "evaluate none.npz --data images", "none.npz is neither the"),
    row(
        "compare: a snapshot", f"compare {PARAMS}", PARAMS, "give the folder of a run, or settings"
    ),
    row("resume: a snapshot", f"train --resume {PARAMS}", f"{PARAMS} is a file of a run: give its"),
    row("curves: a snapshot", f"figure curves {PARAMS}", f"{PARAMS} is a file of a run: give its"),
    row("evaluate: the state", f"evaluate {LAST} --data images", f"{LAST} is a file of a run"),
    row(
        "evaluate: its table", f"evaluate {METRICS} --data images", f"{METRICS} is a file of a run"
    ),
    row("evaluate: weights", "evaluate it.pt --data images", "funcnn import", after=touch("it.pt")),
    row("evaluate: no data", f"evaluate {PARAMS}", "give some, as --data", "funcnn evaluate run"),
    row(
        "evaluate: what is of the run's own data",
        "evaluate run --data images --allow-changed-data",
        "leave out --data",
    ),
    row("evaluate: no labels", f"evaluate run --data {TEST_IMAGES}", TEST_IMAGES, "no labels"),
    row("evaluate: points", "evaluate run --data points-xor", "points-xor", "(2,)"),
    row("snapshot empty", "inspect empty", "empty"),
    row("snapshot is text", "inspect note.txt", "note.txt is no file of weights"),
    row("snapshot cut short", INSPECT, PARAMS, after=cut(PARAMS)),
    row("snapshot with a flipped byte", INSPECT, PARAMS, after=flip(PARAMS)),
    row(
        "snapshot with a flipped byte in the header", INSPECT, PARAMS, after=flip(PARAMS, part=0.1)
    ),
    row("array missing", INSPECT, PARAMS, "1/weight", after=snapshot(PARAMS, **{"1_weight": None})),
    row(
        *("array extra", INSPECT, PARAMS, "9/weight"),
        after=snapshot(PARAMS, **{"9_weight": npy(np.zeros(3))}),
    ),
    row(
        *("array of another shape", INSPECT, PARAMS, "1/weight", "(16, 6)", "(16, 5)"),
        after=snapshot(PARAMS, **{"1_weight": npy(np.zeros((16, 6), "f4"))}),
    ),
    row(
        *("array of another dtype", INSPECT, PARAMS, "1/weight", "float64"),
        after=snapshot(PARAMS, **{"1_weight": npy(np.zeros((16, 5)))}),
    ),
    row(
        *("array that is no array", INSPECT, PARAMS),
        after=snapshot(PARAMS, **{"1_weight": b"not an array"}),
    ),
    row(
        *("pickled object for an array", INSPECT, PARAMS, "1/weight"),
        after=snapshot(PARAMS, **{"1_weight": PICKLED}),
    ),
    row(
        *("npz of a pickled object", "inspect evil.npz", "evil.npz"),
        after=lambda: np.savez("evil.npz", weight=np.array([Pickled()], object)),
    ),
    row(
        *("npz without a header", "inspect plain.npz", "plain.npz", "header.json"),
        after=lambda: np.savez("plain.npz", weight=np.zeros(3)),
    ),
    row("header of another format", INSPECT, PARAMS, "99", after=header(PARAMS, format=99)),
    row("header without structure", INSPECT, PARAMS, after=header(PARAMS, structure=MISSING)),
    row(
        *("header with an unknown layer", INSPECT, PARAMS, "Magic"),
        after=header(PARAMS, spec={"layer": "Magic"}),
    ),
    row(
        *("header with odd class names", INSPECT, PARAMS),
        after=header(PARAMS, class_names=[1, 2, 3]),
    ),
    row(
        *("header with odd normalization", EVALUATE, PARAMS),
        after=header(PARAMS, normalization={"scale": 255.0}),
    ),
    row(
        *("header with normalization in words", PREDICT, PARAMS),
        after=header(PARAMS, normalization={"scale": "a", "mean": "b", "std": "c"}),
    ),
    row("evaluate: no such run", "evaluate none", "none"),
    row("evaluate: not a run", "evaluate images", "images"),
    row("evaluate: no model yet", EVALUATE, "run", "params.npz", after=delete(PARAMS)),
    row("evaluate: flipped byte", EVALUATE, PARAMS, after=flip(PARAMS)),
    row(
        *("evaluate: config of another net", EVALUATE, PARAMS),
        after=edit_json("run/config.json", hidden=[6]),
    ),
    row(
        *("evaluate: config of a deeper net", EVALUATE, PARAMS),
        after=edit_json("run/config.json", hidden=[5, 5]),
    ),
    row(
        *("evaluate: the data has another shape", EVALUATE, "images", "--allow-changed-data"),
        after=lambda: (shutil.rmtree("images"), image_folder(Path("images"), side=5)),
    ),
]

PREDICTS = [
    row(
        *("predict: images of another shape", "predict run --data small-images --out new.csv"),
        *("small-images", "(1, 2, 2)", "(1, 4, 4)"),
    ),
    row("predict: points", "predict run --data points-xor --out new.csv", "points-xor", "(2,)"),
    row("predict: no such file", "predict run --data none --out new.csv", "none"),
    row("predict: a folder", "predict run --data folder --out new.csv", "folder", "no data set"),
    row("predict: labels", "predict run --data some-labels --out new.csv", "some-labels", "(3,)"),
    row("predict: empty", "predict run --data empty --out new.csv", "empty"),
    row(
        "predict: text",
        "predict run --data note.txt --out new.csv",
        "note.txt",
        ".csv.gz, .npz or .zip",
    ),
    row("predict: gz truncated", PREDICT, TEST_IMAGES, after=cut(TEST_IMAGES)),
    row("predict: flipped byte in the model", PREDICT, PARAMS, after=flip(PARAMS)),
    row("predict: no such run", PREDICT.replace("run", "none"), "none"),
]


CURVES = "figure curves run stopped"
COLUMNS = b"epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds\n"
SWEEP = "range-test --arch mlp2 --data images --val-size 12"
FIGURES = [
    row("range-test: out is no PNG", f"{SWEEP} --out a.pdf", "--out a.pdf", ".png"),
    row("range-test: out exists", f"{SWEEP} --out note.txt", "--out note.txt exists"),
    row("range-test: empty range", f"{SWEEP} --lowest 2 --highest 1", "--lowest 2", "--highest 1"),
    row("range-test: from 0", f"{SWEEP} --lowest 0", "--lowest 0", "must be above 0"),
    row("range-test: to infinity", f"{SWEEP} --highest inf", "--highest inf"),
    row("range-test: one step", f"{SWEEP} --steps 1", "--steps", "1"),
    row("range-test: a rate", f"{SWEEP} --lr 0.1", "--lr"),
    row("range-test: no data", "range-test --data none", "none"),
    row("activations: out is no PNG", "figure activations --out a.pdf", "--out a.pdf", ".png"),
    row("activations: out exists", "figure activations --out note.txt", "--out", "note.txt"),
    row("activations: out in a file", "figure activations --out note.txt/a/b.png", "note.txt is a"),
    row("augmentations: out exists", "figure augmentations --out note.txt", "--out", "note.txt"),
    row("curves: out exists", CURVES + " --out note.txt", "--out", "note.txt"),
    row("curves: out in a file", CURVES + " --out note.txt/new.png", "note.txt is a file, not a"),
    row("curves: of nothing", "figure curves", "RUN"),
    row("curves: no such run", "figure curves run none", "none"),
    row("curves: a file of a run", "figure curves run run/params.npz", "give its folder, run"),
    row("curves: not a run", "figure curves run images", "images", "config.json"),
    row("curves: too many", "figure curves" + 29 * " run", "29 runs", "at most 28"),
    row("curves: config damaged", CURVES, "run/config.json", after=cut("run/config.json")),
    row("curves: nothing recorded", CURVES, "run", "metrics.csv", after=delete(METRICS)),
    row("curves: table is a folder", CURVES, METRICS, after=folder_for_file(METRICS)),
    *(
        row(f"curves: table {name}", CURVES, METRICS, *said, after=write(METRICS, content))
        for name, said, content in [
            ("empty", ["begin with epoch,train_loss"], b""),
            ("of others", ["begin with epoch,train_loss"], b"a,b\n1,2\n"),
            ("not text", [], b"\xff\0"),
            ("without rows", ["no rows"], COLUMNS),
            ("cut short", ["a row of 3 values, 1,0.5,0"], COLUMNS + b"1,0.5,0"),
            ("with a word", ["'much'"], COLUMNS + b"1,much,0.5,1.0,0.5,0.1,2\n"),
            ("with a gap", ["''"], COLUMNS + b"1,,0.5,1.0,0.5,0.1,2\n"),
            ("of half an epoch", ["'1.5'"], COLUMNS + b"1.5,1.0,0.5,1.0,0.5,0.1,2\n"),
        ]
    ),
]


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    place = shutil.copytree(prepared, tmp_path / "place", copy_function=shutil.copyfile)
    for record in place.glob("*/data.json"):  # or the data would be found where they were copied
        record.write_text(record.read_text().replace(str(prepared.resolve()), str(place.resolve())))
    monkeypatch.chdir(place)
    monkeypatch.setenv("FUNCNN_DATA", "sets")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where EMNIST might be


@pytest.mark.parametrize(
    ("command", "said", "damage"),
    DATA + FORMS + OPTIONS + PLACES + CONFIGS + RESUMES + SNAPSHOTS + PREDICTS + FIGURES,
)
def test_bad_input_gives_one_clear_line_and_changes_nothing(place, command, said, damage):
    damage()
    before = tree_digest()
    result = CliRunner().invoke(main, command)
    expect_one_line(result, said)
    assert tree_digest() == before


def test_the_undamaged_inputs_are_good(place):
    config = CONFIG.replace("new", "other")
    for command in (TRAIN, EVALUATE, PREDICT, INSPECT, RESUME, config, CURVES):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("option", ["--lr 1e30", "--weight-decay 1e30"])
def test_a_loss_that_becomes_nan_gives_one_line_with_the_step_and_keeps_the_state(place, option):
    before = tree_digest()
    result = CliRunner().invoke(main, f"{TRAIN} --optimizer sgd {option}")
    expect_one_line(result, ["the loss became", "at step", "new/last.npz"])
    after = tree_digest()
    assert set(after) - set(before) == {"new", "new/config.json", "new/data.json", "new/last.npz"}
    assert {path: after[path] for path in before} == before
    assert CliRunner().invoke(main, "inspect new/last.npz").exit_code == 0


@pytest.mark.parametrize("part", np.linspace(0, 0.999, 40))
def test_a_byte_flipped_anywhere_is_told_or_changes_nothing(place, part):
    sound = CliRunner().invoke(main, PREDICT).output
    predicted = read("new.csv")
    Path("new.csv").unlink()
    flip(PARAMS, part=part)()
    result = CliRunner().invoke(main, PREDICT)
    if result.exit_code:
        expect_one_line(result, [PARAMS])
        assert not Path("new.csv").exists()
    else:  # a zip file has bytes that say nothing, such as the time
        assert (result.output, read("new.csv")) == (sound, predicted)


def test_bytes_of_an_idx_file_in_the_place_of_a_snapshot_are_refused(place):
    write(PARAMS, idx_bytes(np.zeros((2, 2), "u1")))()
    expect_one_line(CliRunner().invoke(main, INSPECT), [PARAMS])
