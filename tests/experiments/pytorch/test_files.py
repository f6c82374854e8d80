"""torch's files: what torch reads of ours, what we read of torch's, and what is never unpickled."""

import os
import pickle
import tarfile
import warnings
import zipfile

import numpy as np
import pytest

from funcnn.experiments.errors import InputError

torch = pytest.importorskip("torch", reason="the files are torch's: pip install 'funcnn[torch]'")
from funcnn.experiments.pytorch import files  # noqa: E402
from funcnn.experiments.pytorch.files import read_state_dict, write_state_dict  # noqa: E402

ARRAYS = {
    "0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "0.bias": np.ones(2),
    "1.num_batches_tracked": np.zeros((), np.int64),
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "net.pt"


def refused(file, *said):
    with pytest.raises(InputError) as caught:
        read_state_dict(file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(str(file))
    for words in said:
        assert words in line


def test_torch_reads_what_is_written(file):
    write_state_dict(file, ARRAYS)
    found = torch.load(file, weights_only=True)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == torch.from_numpy(array).dtype
        np.testing.assert_array_equal(found[name].numpy(), array)


def test_what_is_written_comes_back(file):
    write_state_dict(file, ARRAYS)
    stored = read_state_dict(file)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(stored.arrays[name], array, strict=True)
    assert stored.dtypes == {name: str(array.dtype) for name, array in ARRAYS.items()}


def test_equal_arrays_give_equal_files_and_read_only_ones_are_fine(file):
    frozen = {name: array.copy() for name, array in ARRAYS.items()}
    for array in frozen.values():
        array.setflags(write=False)
    write_state_dict(file, frozen)
    before = file.read_bytes()
    write_state_dict(file, ARRAYS)
    assert file.read_bytes() == before


def test_a_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        write_state_dict(tmp_path / "none" / "net.pt", ARRAYS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("zipped", [True, False])
def test_the_state_dict_of_a_module_is_read(file, zipped):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    torch.save(module.state_dict(), file, _use_new_zipfile_serialization=zipped)
    stored = read_state_dict(file)
    assert list(stored.arrays) == list(module.state_dict())
    np.testing.assert_array_equal(stored.arrays["0.weight"], module[0].weight.detach().numpy())


def test_parameters_views_and_small_floats_are_read(file):
    weight = torch.arange(6.0).reshape(2, 3)
    torch.save(
        {
            "parameter": torch.nn.Parameter(weight),
            "view": weight.T,
            "bfloat16": weight.bfloat16(),
            "half": weight.half(),
        },
        file,
    )
    stored = read_state_dict(file)
    for name, array in stored.arrays.items():
        np.testing.assert_array_equal(array, (weight.T if name == "view" else weight).numpy())
    assert stored.arrays["bfloat16"].dtype == np.float32
    assert stored.dtypes["bfloat16"] == "bfloat16"
    assert stored.arrays["half"].dtype == np.float16


# --- what is refused -------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return os.mkdir, ("was-here",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.zeros(1)], ["holds a list, not a state_dict"]),
        (torch.zeros(1), ["holds a Tensor, not a state_dict"]),
        (
            {"model_state_dict": {"0.weight": torch.zeros(1)}, "epoch": 3},
            ["'model_state_dict' is a dict, not a tensor", "torch.save(model.state_dict(), FILE)"],
        ),
        ({"a": 1.5}, ["'a' is a float, not a tensor"]),
        ({7: torch.zeros(1)}, ["7 is not the name of a tensor"]),
        ({"a\nb": torch.zeros(1)}, [r"'a\nb' is not the name of a tensor"]),
        ({"a": torch.zeros(3).to_sparse()}, ["a is a tensor (sparse_coo on cpu)"]),
        ({"a": torch.zeros(3, device="meta")}, ["a is a tensor (strided on meta)"]),
        (torch.nn.Linear(2, 3), ["needs torch.nn.modules.linear.Linear", "is refused"]),
        ({"a": np.zeros(3)}, ["needs numpy", "is refused"]),
        ({"a": Evil()}, ["needs posix.mkdir to be unpickled, which could run any code"]),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_no_state_dict_is_refused(file, monkeypatch, content, said, zipped):
    monkeypatch.chdir(file.parent)
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    refused(file, *said)
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_pickle_is_refused_and_not_run(file, monkeypatch, protocol):
    monkeypatch.chdir(file.parent)
    file.write_bytes(pickle.dumps({"a": Evil()}, protocol))
    refused(file)
    assert list(file.parent.iterdir()) == [file]


def test_a_torchscript_file_is_refused(file):
    with warnings.catch_warnings():  # torch would rather have something else scripted
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    refused(file, "is not a file of torch's, or damaged")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"hello there " * 99, b"PK\3\4" + bytes(99), bytes(1000)]
)
def test_other_bytes_are_refused(file, content):
    file.write_bytes(content)
    refused(file, "is not a file of torch's, or damaged")


@pytest.mark.parametrize("length", [20, 300, -1, -40])
def test_a_file_that_was_cut_is_refused(file, length):
    write_state_dict(file, ARRAYS)
    file.write_bytes(file.read_bytes()[:length])
    refused(file)


def test_a_flipped_bit_in_a_tensor_is_found_though_torch_does_not_look(file):
    write_state_dict(file, ARRAYS)
    with zipfile.ZipFile(file) as archive:
        weight = archive.read("archive/data/0")
    content = bytearray(file.read_bytes())
    content[content.index(weight) + 5] ^= 1
    file.write_bytes(content)
    assert torch.load(file, weights_only=True)["0.weight"][0, 1] != ARRAYS["0.weight"][0, 1]
    refused(file, "is damaged: the checksum of 'archive/data/0' differs")


@pytest.mark.parametrize("seed", range(30))
def test_a_bit_flipped_in_the_pickle_gives_one_line_or_other_tensors(file, seed):
    """With its checksum made right again, as somebody would who meant harm."""
    write_state_dict(file, ARRAYS)
    with zipfile.ZipFile(file) as archive:
        members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    generator = np.random.default_rng(seed)
    pickled = members["archive/data.pkl"]
    pickled[generator.integers(len(pickled))] ^= 1 << generator.integers(8)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, bytes(content))
    lines = ["none"]
    try:
        stored = read_state_dict(file)
        assert set(stored.arrays) == set(stored.dtypes)
    except InputError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1


def test_a_missing_file_is_the_systems_error(file):
    with pytest.raises(FileNotFoundError):
        read_state_dict(file)


def test_torchs_oldest_form_is_refused(file):
    with tarfile.open(file, "w") as archive:
        for name in ("pickle", "storages", "tensors"):
            archive.addfile(tarfile.TarInfo(name))
    refused(file, "torch's oldest form")


def test_a_torch_that_a_file_could_harm_is_not_asked_to_read_one(file, monkeypatch):
    write_state_dict(file, ARRAYS)
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    refused(file, "2.9.1", "torch 2.10 or later")


# --- files that claim more than they hold --------------------------------------------------------


def test_a_compressed_file_is_refused_before_it_is_unpacked(file):
    torch.save({"a": torch.zeros(10**6)}, file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(file, "data.pkl' is compressed")


def with_pickle(file, pickled):
    """A file of torch's with this pickle in the place of the one that names the tensors."""
    write_state_dict(file, ARRAYS)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else content)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("called", "argument"),
    [
        ("builtins\nbytearray", b"\x8a\x05\x00\x00\x00\x00\x01"),  # LONG1: 2**32
        ("__builtin__\nbytearray", b"\x8a\x05\x00\x00\x00\x00\x01"),
        ("_codecs\nencode", b"X\x01\x00\x00\x00aX\x03\x00\x00\x00hex"),
    ],
)
def test_a_pickle_that_makes_much_of_little_is_refused(file, called, argument, zipped):
    pickled = b"\x80\x02c" + called.encode() + b"\n(" + argument + b"tR."
    if zipped:
        with_pickle(file, pickled)
    else:
        file.write_bytes(pickled)
    refused(file, f"{called.split()[-1]}, which no tensor needs: torch.save(model.state_dict()")


@pytest.mark.parametrize("zipped", [True, False])
def test_large_tensors_of_zeros_are_no_pickles(file, zipped):
    torch.save({"a": torch.zeros(1 << 21)}, file, _use_new_zipfile_serialization=zipped)
    assert not read_state_dict(file).arrays["a"].any()


def test_what_ends_as_a_zip_file_may_begin_as_a_pickle(file):
    write_state_dict(file, ARRAYS)
    pickled = b"\x80\x02cbuiltins\nbytearray\n(\x8a\x05\x00\x00\x00\x00\x01tR."
    file.write_bytes(pickled + file.read_bytes())
    refused(file, "calls builtins.bytearray")


def test_a_pickle_of_more_than_names_is_refused(file, monkeypatch):
    monkeypatch.setattr(files, "_LONGEST_PICKLE", 2000)
    with_pickle(file, b"\x80\x02(" + b"N" * 2001 + b"l.")
    refused(file, "has more than 2,000 bytes beside its tensors")


def test_members_that_share_their_bytes_cannot_claim_more_than_the_file(file):
    torch.save({"a": torch.zeros(1000)}, file)
    with zipfile.ZipFile(file, "a") as archive:
        (data,) = (member for member in archive.infolist() if member.filename.endswith("data/0"))
        archive.filelist.extend([data] * 99)
        archive._didModify = True
    refused(file, "its members claim 40", "bytes of a file of")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_one_number_cannot_stand_for_more_than_the_file_has(file, dtype):
    torch.save({"a": torch.zeros(1, dtype=dtype).expand(10**9)}, file)
    refused(file, f"a claims {dtype.itemsize * 10**9:,} bytes of a file of")
