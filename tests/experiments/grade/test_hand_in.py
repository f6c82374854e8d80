"""Archives and folders as students make them, and as nobody should: files found, or one line."""

import errno
import io
import os
import random
import tracemalloc
import unicodedata
import zipfile

import hand_ins
import pytest

from funcnn.experiments.errors import InputError
from funcnn.experiments.grade import hand_in, zip_members
from funcnn.experiments.grade.hand_in import open_hand_in
from funcnn.experiments.grade.names import decode_names
from funcnn.experiments.grade.run_files import write_file


def opened(path, usual="Big5"):
    """The name, the paths with their contents or what is wrong with them, and the verdicts."""
    with open_hand_in(path, usual) as handed:
        contents = {}
        for file in handed.files:
            try:
                contents[file.path] = file.read()
            except InputError as error:
                contents[file.path] = str(error)
        return handed.name, contents, [verdict.found for verdict in handed.verdicts]


def put(tmp_path, content, name="it.zip"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


# --- what can be read -------------------------------------------------------------------------

FILES = {"a.py": b"a", "inner/b.py": b"b"}


@pytest.mark.parametrize("around", ["", "0716001/", "x/0716001/"])
def test_folders_around_everything_do_not_count(tmp_path, around):
    files = {around + name: content for name, content in FILES.items()}
    path = put(tmp_path, hand_ins.zipped(files))
    assert opened(path) == ("it.zip", FILES, [])
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert opened(tmp_path / "unpacked") == ("unpacked", FILES, [])


def test_what_systems_leave_does_not_count(tmp_path):
    left = ["__MACOSX/._a.py", ".DS_Store", "x/.DS_Store", "__pycache__/a.pyc", "Thumbs.db"]
    left.append(".ipynb_checkpoints/a-checkpoint.ipynb")
    path = put(tmp_path, hand_ins.zipped(FILES | dict.fromkeys(left, b"")))
    assert opened(path)[1] == FILES


def test_an_archive_in_an_archive_is_the_hand_in(tmp_path):
    inner = hand_ins.zipped({f"folder/{name}": content for name, content in FILES.items()})
    path = put(tmp_path, hand_ins.zipped({"site/0716001_HW1.zip": inner}))
    assert opened(path) == ("0716001_HW1.zip", FILES, [])


def test_an_archive_beside_other_files_is_opened_once(tmp_path):
    deep = hand_ins.zipped({"deep.py": b""})
    inner = hand_ins.zipped(FILES | {"deep.zip": deep})
    path = put(tmp_path, hand_ins.zipped({"lab.zip": inner, "pred.csv": b"c"}))
    name, contents, verdicts = opened(path)
    assert (name, verdicts) == ("it.zip", ["not opened: lab.zip/deep.zip"])
    inside = {f"lab.zip/{each}": content for each, content in FILES.items()}
    assert contents == inside | {"lab.zip/deep.zip": deep, "pred.csv": b"c"}


def test_a_broken_archive_inside_is_a_line(tmp_path):
    path = put(tmp_path, hand_ins.zipped({"lab.zip": b"PK\3\4 no more", "a.py": b""}))
    _, _, (found,) = opened(path)
    assert "truncated" in found


def test_something_may_stand_before_an_archive(tmp_path):
    path = put(tmp_path, b"MZ" * 50 + hand_ins.zipped(FILES))
    with pytest.raises(InputError, match="no zip file"):  # it does not begin as one
        opened(path)
    path = put(tmp_path, b"PK\3\4" * 50 + hand_ins.zipped(FILES))
    assert opened(path)[1] == FILES


# --- names ------------------------------------------------------------------------------------

NAMES = [
    ("Big5", "big5", ["DL_LAB1_0716001_王小明.pdf", "程式/網路.py", "功課.txt"]),
    ("Big5", "big5", ["DL_LAB1_0716001_許功蓋.pdf"]),  # 0x5C, a backslash, in each
    ("GBK", "gbk", ["DL_LAB1_2019_陈小明.pdf", "实验报告.py"]),
    ("GBK", "gbk", ["张伟_作业.pdf"]),
    ("EUC-KR", "cp949", ["PA1_2019_김철수.pdf", "과제/보고서.py"]),
    ("EUC-KR", "cp949", ["PA1_2019_박뷁_과제.pdf"]),  # a syllable of cp949 that EUC-KR lacks
]


@pytest.mark.parametrize("flags", [0, 0x800], ids=["plain", "says UTF-8"])
@pytest.mark.parametrize(("page", "codec", "names"), NAMES)
def test_names_are_read_in_their_code_page(tmp_path, page, codec, names, flags):
    path = put(tmp_path, hand_ins.raw_zip([name.encode(codec) for name in names], flags))
    for usual in ("Big5", "EUC-KR"):
        _, contents, (found,) = opened(path, usual)
        assert list(contents.values()) == [b"x"] * len(names)
        assert list(contents) == names
        assert found.startswith(f"in {page}")
        assert ("though it says UTF-8" in found) == bool(flags)


def test_names_in_utf8_are_what_they_are_whatever_the_archive_says(tmp_path):
    name = unicodedata.normalize("NFD", "김철수.py")  # as a Mac writes it
    for flags in (0, 0x800):
        path = put(tmp_path, hand_ins.raw_zip([name.encode()], flags))
        assert opened(path) == ("it.zip", {"김철수.py": b"x"}, [])


def test_more_archives_inside_than_are_opened_are_a_line(tmp_path):
    files = {f"{index}.zip": hand_ins.zipped({"a.py": b""}) for index in range(6)}
    _, contents, (found,) = opened(put(tmp_path, hand_ins.zipped(files)))
    assert list(contents) == ["5.zip", *(f"{index}.zip/a.py" for index in range(5))]
    assert found == "not opened: 5.zip"


def test_bytes_that_are_no_text_are_shown_as_escapes(tmp_path):
    assert decode_names([b"a\xff\xfe.py", b"a\\b.py"]) == (
        [r"a\xff\xfe.py", "a/b.py"],
        "no known encoding",
    )
    path = put(tmp_path, hand_ins.raw_zip([b"\xff\xfe.py"]))
    assert opened(path)[1] == {r"\xff\xfe.py": b"x"}


def test_a_name_that_is_no_text_does_not_spoil_the_others():
    names = ["DL_LAB1_0716001_王小明.pdf".encode("big5"), b"\xff\xfe.py", b"plain.py"]
    shown = ["DL_LAB1_0716001_王小明.pdf", r"\xff\xfe.py", "plain.py"]
    for usual in ("Big5", "EUC-KR"):
        assert decode_names(names, usual) == (shown, "Big5")


@pytest.mark.skipif(os.name == "nt", reason="names of files are no bytes there")
def test_names_in_a_folder_are_read_in_their_code_page(tmp_path):
    name = "王小明.py".encode("big5")
    try:
        open(os.path.join(os.fsencode(tmp_path), name), "wb").close()
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    assert list(opened(tmp_path)[1]) == ["王小明.py"]


# --- what is hostile --------------------------------------------------------------------------


def linked():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link.py")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.py", b"")
    return buffer.getvalue()


ODD = {
    "absolute": (hand_ins.raw_zip([b"/etc/a.py", b"plain"]), "path that leaves"),
    "up": (hand_ins.raw_zip([b"a/../../b.py", b"plain"]), "path that leaves"),
    "up on Windows": (hand_ins.raw_zip([b"..\\..\\b.py", b"plain"]), "path that leaves"),
    "drive": (hand_ins.raw_zip([b"C:\\x\\b.py", b"plain"]), "path that leaves"),
    "NUL": (hand_ins.raw_zip([b"a\0b.py", b"plain"]), r"without a proper name"),
    "link": (linked(), "a link: link.py"),
    "long": (hand_ins.raw_zip([b"a/" * 20_000 + b"b.py", b"plain"]), "a name of more than 4,096"),
}


@pytest.mark.parametrize(("content", "said"), ODD.values(), ids=ODD)
def test_a_member_that_would_leave_its_folder_is_not_read(tmp_path, content, said):
    _, contents, (found,) = opened(put(tmp_path, content))
    assert len(contents) == 1
    assert said in found


def test_of_two_members_of_one_name_the_last_counts_and_it_is_said(tmp_path):
    content = hand_ins.raw_zip([b"a.py_0000", b"b.py_0001"]).replace(b"b.py_0001", b"a.py_0000")
    _, contents, (found,) = opened(put(tmp_path, content))
    assert list(contents) == ["a.py_0000"]
    assert found == "there twice: a.py_0000"


def test_a_bomb_is_not_unpacked(tmp_path):
    path = put(tmp_path, hand_ins.zipped({"a.py": bytes(70_000_000), "b.py": b""}))
    tracemalloc.start()
    try:
        _, contents, (found,) = opened(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert "more than the" in contents["a.py"]
    assert found == "too large to be looked into: a.py"


def test_a_member_that_claims_what_it_cannot_hold_is_not_unpacked(tmp_path):
    content = hand_ins.zipped({"a.py": b"a", "b.py": b""})
    at = content.index(b"PK\1\2") + 24
    content = content[:at] + (60_000_000).to_bytes(4, "little") + content[at + 4 :]
    _, contents, (found,) = opened(put(tmp_path, content))
    assert "than its" in contents["a.py"]
    assert found == "claims more bytes than it can hold: a.py"


def test_one_encrypted_member_is_a_line_and_all_of_them_an_error(tmp_path):
    content = hand_ins.raw_zip([b"first.py"], 1)
    with pytest.raises(InputError, match=r"it\.zip is encrypted"):
        opened(put(tmp_path, content))
    content = hand_ins.raw_zip([b"first.py", b"other.py"])
    at = content.index(b"PK\1\2") + 8
    _, contents, (found,) = opened(put(tmp_path, content[:at] + b"\1\0" + content[at + 2 :]))
    assert contents == {"first.py": "is encrypted", "other.py": b"x"}
    assert found == "encrypted: first.py"


def test_a_damaged_member_is_said_where_it_is_read(tmp_path):
    content = hand_ins.raw_zip([b"first.py"], content=b"text" * 9)
    _, contents, _ = opened(put(tmp_path, content.replace(b"texttext", b"textTEXT", 1)))
    assert "checksum differs" in contents["first.py"]


def test_a_method_that_is_not_read_is_said(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.py", b"a")
    assert "packed by a method" in opened(put(tmp_path, buffer.getvalue()))[1]["a.py"]


def test_so_many_files_are_read_and_one_more_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(hand_in, "_MOST_FILES", 30)
    left = [f"__MACOSX/._{index}.py" for index in range(30)]  # which a Mac adds, and folders
    names = [*left, "folder/", ".git/objects/0", *(f"folder/{index}.py" for index in range(30))]
    path = put(tmp_path, hand_ins.zipped(dict.fromkeys(names, b"")))
    assert len(opened(path)[1]) == 30
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert len(opened(tmp_path / "unpacked")[1]) == 30
    path = put(tmp_path, hand_ins.zipped(dict.fromkeys([*names, "more.py"], b"")))
    (tmp_path / "unpacked" / "more.py").touch()
    for each in (path, tmp_path / "unpacked"):
        with pytest.raises(InputError, match="more than 30 files"):
            opened(each)


def test_a_list_of_members_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_members, "_MOST_MEMBERS", 30)
    path = put(tmp_path, hand_ins.zipped({f"{index}/": b"" for index in range(31)}))
    with pytest.raises(InputError, match="more than 30 files and folders"):
        opened(path)


def test_thousands_of_folders_around_everything_take_no_time():
    files = [hand_in.File("a/" * 2000 + f"{index}.py", 0, bytes) for index in range(2000)]
    assert [file.path for file in hand_in._without_folder(files)[:2]] == ["0.py", "1.py"]


UNREADABLE = {
    "empty": (b"", "is an empty file"),
    "no file": (hand_ins.zipped({}), "holds no files"),
    "only a Mac's": (hand_ins.zipped({"__MACOSX/._a": b""}), "holds no files"),
    "cut": (hand_ins.zipped(FILES)[:60], "truncated"),
    "rar": (b"Rar!\x1a\x07\x01\0" + bytes(50), "is a RAR archive, not a zip file"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(50), "is a 7z archive"),
    "gzip": (b"\x1f\x8b" + bytes(50), "is a gzip file"),
    "tar": (bytes(257) + b"ustar" + bytes(300), "is a tar archive"),
    "PDF": (hand_ins.PDF, "is a PDF"),
    "text": (b"hello" * 100, "is no zip file, and no folder"),
}


@pytest.mark.parametrize(("content", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_at_all_is_an_error(tmp_path, content, said):
    with pytest.raises(InputError, match=rf"it\.zip .*{said}") as caught:
        opened(put(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_place_that_is_not_there_or_a_device_is_an_error(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        opened(tmp_path / "none.zip")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="holds no files"):
        opened(tmp_path / "folder")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.zip")
        with pytest.raises(InputError, match="Not a regular file"):
            opened(tmp_path / "pipe.zip")


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_links_in_a_folder_are_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b"s")
    folder = tmp_path / "handed"
    folder.mkdir()
    (folder / "a.py").write_bytes(b"a")
    (folder / "link.py").symlink_to(tmp_path / "secret")
    (folder / "around").symlink_to(tmp_path)
    _, contents, (found,) = opened(folder)
    assert contents == {"a.py": b"a"}
    assert found == "a link, or no file: around, link.py"


def test_an_archive_with_any_byte_changed_is_read_or_refused(tmp_path):
    whole = hand_ins.zipped({"a.py": b"a" * 40, "張/b.py": b"b"})
    changes = random.Random(0)
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(changes.randint(1, 4)):
            content[changes.randrange(4, len(content))] = changes.choice([0, 1, 127, 255])
        try:
            _, contents, _ = opened(put(tmp_path, bytes(content)))
        except InputError:
            continue
        assert len(contents) <= 2


# --- what is the machine's fault, and no student's ---------------------------------------------


def test_a_file_or_folder_that_the_machine_cannot_read_is_no_verdict(tmp_path, monkeypatch):
    (tmp_path / "it/inner").mkdir(parents=True)
    (tmp_path / "it/inner/a.py").write_text("a")

    def refuse(path, *given):
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    with open_hand_in(tmp_path / "it", "Big5") as handed:
        monkeypatch.setattr(hand_in, "open_regular", refuse)
        with pytest.raises(OSError, match="Too many open files"):
            handed.files[0].read()
    real = os.scandir
    inner = str(tmp_path / "it/inner")
    monkeypatch.setattr(os, "scandir", lambda at: refuse(at) if str(at) == inner else real(at))
    with pytest.raises(InputError, match="it cannot be read: Too many open files"):
        opened(tmp_path / "it")


def test_a_full_disk_is_no_name_that_no_file_can_have(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot be a file here"):
        write_file(tmp_path, "a" * 300, b"a")

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_file(tmp_path, "a.py", b"a")
