"""Zip files: refused if a path leaves its folder, or if they claim what cannot be."""

import zipfile

import pytest

from funcnn.experiments.data.formats.zip_files import open_zip
from funcnn.experiments.errors import InputError


def write_zip(path, names, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"content " * 9, method)
    return path


def test_members_are_read(tmp_path):
    with open_zip(write_zip(tmp_path / "a.zip", ["a", "b/c"])) as archive:
        assert archive.read("b/c") == b"content " * 9


@pytest.mark.parametrize(
    "name",
    ["../a", "a/../../b", "/etc/passwd", "..\\a", "C:\\a", "C:a", "\\\\host\\share", "a/..", "//a"],
)
def test_a_path_that_leaves_its_folder_is_refused(tmp_path, name):
    path = write_zip(tmp_path / "a.zip", ["good", name])
    with pytest.raises(InputError, match="a path that leaves its folder") as caught, open_zip(path):
        pass
    assert f"{path} has a member {name!r}" in str(caught.value)


def test_a_path_behind_a_nul_counts_although_python_cuts_the_name_there(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["good", "a#/../../b"])
    path.write_bytes(path.read_bytes().replace(b"a#/", b"a\0/"))
    with pytest.raises(InputError, match="a path that leaves its folder") as caught, open_zip(path):
        pass
    assert repr("a\0/../../b") in str(caught.value)


def test_names_with_dots_that_lead_nowhere_are_fine(tmp_path):
    with open_zip(write_zip(tmp_path / "a.zip", ["a..b", "...", "a/.b", "..a"])) as archive:
        assert len(archive.namelist()) == 4


def claim_2_gb(path, *, packed=True, unpacked=True):
    """Change the sizes that the directory of a zip file has for its first member."""
    content, size = bytearray(path.read_bytes()), (1 << 31).to_bytes(4, "little")
    entry = content.index(b"PK\x01\x02")
    if packed:
        content[entry + 20 : entry + 24] = size
    if unpacked:
        content[entry + 24 : entry + 28] = size
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("method", "sizes", "said"),
    [
        (
            zipfile.ZIP_DEFLATED,
            {"packed": False},
            "2,147,483,648 bytes, more than its [0-9]+ packed",
        ),
        (zipfile.ZIP_DEFLATED, {}, "2,147,483,648 packed bytes of a file of [0-9]+"),
        (
            zipfile.ZIP_DEFLATED,
            {"unpacked": False},
            "2,147,483,648 packed bytes of a file of [0-9]+",
        ),
        (zipfile.ZIP_STORED, {"packed": False}, "2,147,483,648 bytes, but 72 are stored"),
        (zipfile.ZIP_STORED, {}, "2,147,483,648 packed bytes of a file of [0-9]+"),
        (zipfile.ZIP_STORED, {"unpacked": False}, "2,147,483,648 packed bytes of a file of [0-9]+"),
    ],
)
def test_a_member_that_claims_more_than_can_be_in_it_is_refused_before_it_is_read(
    tmp_path, method, sizes, said
):
    path = claim_2_gb(write_zip(tmp_path / "a.zip", ["a"], method), **sizes)
    with pytest.raises(InputError, match=rf"a\.zip: a claims {said}"), open_zip(path):
        pytest.fail("it was opened")


def test_an_unusual_packing_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["a"], zipfile.ZIP_LZMA)
    with pytest.raises(InputError, match="packed by a method"), open_zip(path):
        pass


def test_an_encrypted_member_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["a"])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="a is encrypted"), open_zip(path):
        pass


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip file"])
def test_what_is_no_zip_file_is_an_input_error(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with (
        pytest.raises(InputError, match=r"a\.zip is a truncated or damaged zip file"),
        open_zip(tmp_path / "a.zip"),
    ):
        pass


def test_damage_that_shows_while_it_is_read_is_an_input_error(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["a"], zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"content", b"CONTENT", 1))
    with pytest.raises(InputError, match=r"damaged zip file .*CRC"), open_zip(path) as archive:
        archive.read("a")


def test_a_missing_file_and_a_folder_are_input_errors(tmp_path):
    for path in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(InputError, match="cannot be read") as caught, open_zip(path):
            pass
        assert str(path) in str(caught.value)


def test_errors_of_the_reader_are_left_alone(tmp_path):
    with pytest.raises(KeyError), open_zip(write_zip(tmp_path / "a.zip", ["a"])) as archive:
        archive.getinfo("b")


def rename(path, name, new):
    path.write_bytes(path.read_bytes().replace(name, new))
    return path


def test_a_name_that_is_not_utf_8_although_it_says_so_is_an_input_error(tmp_path):
    path = rename(write_zip(tmp_path / "a.zip", ["ä"]), "ä".encode(), b"\xff\xfe")
    with pytest.raises(InputError, match="a member whose name is not UTF-8"), open_zip(path):
        pass


def test_a_name_that_is_not_utf_8_where_the_member_begins_is_an_input_error(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["ä"])
    path.write_bytes(path.read_bytes().replace("ä".encode(), b"\xff\xfe", 1))
    with pytest.raises(InputError, match="name is not UTF-8"), open_zip(path) as archive:
        archive.read("ä")


@pytest.mark.parametrize("name", ["", "\0a"])
def test_a_member_without_a_name_is_an_input_error(tmp_path, name):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("b")
        archive.writestr(info, b"content")
        info.filename = name
        archive._didModify = True
    with pytest.raises(InputError, match="a member without a name"), open_zip(path):
        pass
