"""CSV files of images: the labs' forms, the copy that makes the second read quick, every damage."""

import gzip
import io
import os
import shutil
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from image_files import PIXELS, TABLE, text_of, write_csv

from funcnn.experiments.data.formats import by_path, csv_copies, csv_files
from funcnn.experiments.data.formats.listings import DiskFolder
from funcnn.experiments.errors import InputError
from funcnn.experiments.system import memory

MIDDLE = np.insert(TABLE[:, 1:], 2, TABLE[:, 0], axis=1)
BY_WORD = np.array(sorted(range(16), key=str))
PAIRS = np.array([f"{i // 4 + 8}x{i % 4 + 8}" for i in range(16)])
PAIRS_BY_WORD = np.argsort(PAIRS)


def read_file(path):
    return csv_files.read_file(DiskFolder(path.parent), path.name)


def read_folder(path):
    return csv_files.read_folder(DiskFolder(path))


def expect_table(data, table=TABLE):
    """The data of a labelled table."""
    np.testing.assert_array_equal(data.train[0], table[:, 1:].reshape(-1, 1, 4, 4))
    np.testing.assert_array_equal(data.train[1], table[:, 0])
    assert data.train[0].dtype == np.uint8


# --- forms -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(text_of(TABLE), id="label first, no header"),
        pytest.param(text_of(TABLE, ["label", *PIXELS]), id="header"),
        pytest.param(text_of(TABLE, ['"label"', *map(str, range(16))]), id="header of numbers"),
        pytest.param(text_of(TABLE, ["Label", *PIXELS]), id="Label"),
        pytest.param(text_of(TABLE, ["class", *PIXELS]), id="another name"),
        pytest.param(text_of(np.roll(TABLE, -1, 1), [*PIXELS, "label"]), id="label last"),
        pytest.param(text_of(MIDDLE, [*PIXELS[:2], "label", *PIXELS[2:]]), id="label inside"),
        pytest.param(text_of(TABLE, end="\r\n"), id="Windows line ends"),
        pytest.param(text_of(TABLE, ["label", *PIXELS], end="\r\n"), id="Windows and a header"),
        pytest.param(b"\xef\xbb\xbf" + text_of(TABLE), id="byte-order mark"),
        pytest.param(b"\xef\xbb\xbf" + text_of(TABLE, ["label", *PIXELS]), id="mark and header"),
        pytest.param(text_of(TABLE, map(str, range(17))), id="header of the columns' numbers"),
        pytest.param(text_of(TABLE, map(str, range(17)), end="\r\n"), id="numbers and Windows"),
        pytest.param(text_of(TABLE)[:-1], id="no end of the last line"),
        pytest.param(text_of(TABLE) + b"\n", id="an empty line at the end"),
        pytest.param(text_of(TABLE) + b"\r\n \t\r\n" * 99_999, id="many empty lines at the end"),
        pytest.param(text_of(TABLE, ["label", *PIXELS]) + b"\n\n", id="header and empty lines"),
        pytest.param(text_of(TABLE).replace(b",", b", "), id="spaces"),
        pytest.param(text_of(TABLE.astype(float)), id="written as 7.0"),
        pytest.param(b"\n \r\n" + text_of(TABLE), id="empty lines first"),
        pytest.param(b"\n" + text_of(TABLE, ["label", *PIXELS]), id="empty line and header"),
        pytest.param(b"\xef\xbb\xbf\n" + text_of(TABLE), id="mark and an empty line"),
        *(
            pytest.param(text_of(np.roll(TABLE, -1, 1), [*PIXELS, name]), id=f"{name} last")
            for name in ("Class", "target", "y", "CATEGORY", "digit")
        ),
        *(
            pytest.param(
                text_of(np.insert(TABLE, where, np.arange(12) + 1000, 1), header),
                id=f"id {header[:2]}",
            )
            for where, header in (
                (0, ["Id", "label", *PIXELS]),
                (1, ["label", "ImageId", *PIXELS]),
                (17, ["label", *PIXELS, "index"]),
                (0, ["", "label", *PIXELS]),
                (0, ["", *map(str, range(17))]),
                (0, ["Unnamed: 0", "digit", *PIXELS]),
                (0, ["row_id", "label", *PIXELS]),
                (17, ["labels", *PIXELS, "img idx"]),
            )
        ),
        pytest.param(
            text_of(np.insert(TABLE.astype(object), 17, "a.png", 1), ["label", *PIXELS, "id"]),
            id="ids that are words",
        ),
        pytest.param(text_of(TABLE, ["digit", *map(str, range(16))]), id="a word and numbers"),
        pytest.param(
            text_of(TABLE[:, [0, *(1 + BY_WORD)]], ["label", *(PIXELS[i] for i in BY_WORD)]),
            id="pixels sorted as words",
        ),
        pytest.param(
            text_of(TABLE[:, [0, *(1 + PAIRS_BY_WORD)]], ["label", *PAIRS[PAIRS_BY_WORD]]),
            id="rows and columns sorted as words",
        ),
        pytest.param(
            text_of(TABLE, ["label", *(f"x{i % 4 + 8}y{i // 4 + 8}" for i in range(16))]),
            id="x first",
        ),
        pytest.param(gzip.compress(text_of(TABLE)), id="gzip"),
        pytest.param(
            gzip.compress(text_of(TABLE[:5])) + gzip.compress(text_of(TABLE[5:])), id="two gzips"
        ),
        pytest.param(gzip.compress(b"\n" + text_of(TABLE, ["label", *PIXELS])), id="gzip, header"),
    ],
)
def test_every_form_of_a_labelled_table_gives_the_same_images(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    for _ in range(2):  # the text, then the copy
        data = read_file(tmp_path / "a.csv")
        expect_table(data)
        assert data.test is None
        assert data.class_names == ("0", "1", "2")


@pytest.mark.parametrize("header", [(), PIXELS, list(map(str, range(16)))])
def test_a_table_without_labels_is_inputs_to_predict(tmp_path, header):
    data = read_file(write_csv(tmp_path / "a.csv", TABLE[:, 1:], header))
    assert data.train is None
    assert data.test[1] is None
    np.testing.assert_array_equal(data.inputs, TABLE[:, 1:].reshape(-1, 1, 4, 4))


@pytest.mark.parametrize("labelled", [True, False])
def test_a_folder_has_train_csv_and_test_csv_with_or_without_labels(tmp_path, labelled):
    write_csv(tmp_path / "train.csv", TABLE)
    write_csv(tmp_path / "test.csv", TABLE[:5] if labelled else TABLE[:5, 1:])
    (tmp_path / "sample_submission.csv").write_text("Id,Category\n")
    data = read_folder(tmp_path)
    expect_table(data)
    np.testing.assert_array_equal(data.test[0], data.train[0][:5])
    if labelled:
        np.testing.assert_array_equal(data.test[1], TABLE[:5, 0])
    else:
        assert data.test[1] is None


def test_a_folder_may_have_longer_names_and_no_test_file(tmp_path):
    write_csv(tmp_path / "fashion-mnist_train.csv", TABLE)
    assert read_folder(tmp_path).test is None
    write_csv(tmp_path / "fashion-mnist_test.csv", TABLE[:4])
    assert len(read_folder(tmp_path).test[0]) == 4
    write_csv(tmp_path / "my_test.csv", TABLE[:4])
    with pytest.raises(InputError, match="one CSV file of test images is needed, found fashion"):
        read_folder(tmp_path)
    write_csv(tmp_path / "test.csv", TABLE[:3])
    assert len(read_folder(tmp_path).test[0]) == 3


def test_packed_files_of_a_folder_are_read_unless_the_text_is_beside_them(tmp_path):
    write_csv(tmp_path / "train.csv", TABLE)
    (tmp_path / "train.csv.gz").write_bytes(b"something else")
    (tmp_path / "test.csv.gz").write_bytes(gzip.compress(text_of(TABLE[:5, 1:])))
    data = read_folder(tmp_path)
    expect_table(data)
    assert len(data.test[0]) == 5
    packed = tmp_path / "Some.CSV.GZ"
    packed.write_bytes(gzip.compress(text_of(TABLE)))
    expect_table(by_path.read(packed))


def test_the_files_that_macos_leaves_beside_them_do_not_count(tmp_path):
    for part in ("train", "test"):
        write_csv(tmp_path / f"fashion-mnist_{part}.csv", TABLE)
        (tmp_path / f"._fashion-mnist_{part}.csv").write_bytes(b"Mac OS X")
    expect_table(read_folder(tmp_path))


def test_official_emnist_is_turned_upright_and_named(tmp_path):
    table = TABLE.copy()
    table[:, 0] += 1
    write_csv(tmp_path / "emnist-letters-train.csv", table)
    write_csv(tmp_path / "emnist-letters-test.csv", table)
    for data in (read_folder(tmp_path), read_file(tmp_path / "emnist-letters-train.csv")):
        np.testing.assert_array_equal(
            data.train[0][:, 0], TABLE[:, 1:].reshape(-1, 4, 4).transpose(0, 2, 1)
        )
        np.testing.assert_array_equal(data.train[1], TABLE[:, 0])
        assert data.class_names[0] == "A"


@given(
    table=hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 6), st.sampled_from([5, 10, 17])), elements=None
    ),
    end=st.sampled_from(["\n", "\r\n"]),
    header=st.booleans(),
)
def test_what_is_written_is_what_is_read(tmp_path_factory, table, end, header):
    table[:, 0] %= 2
    table[0, :2] = 0  # or it may be 0, 1, 2 and so on: a header
    if not header:
        table[0, -1] = 255  # or the labels may be last as well
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    names = ["label", *map(str, range(1, table.shape[1]))] if header else []
    data = read_file(write_csv(path, table, names, end=end))
    np.testing.assert_array_equal(data.train[0].reshape(len(table), -1), table[:, 1:])
    np.testing.assert_array_equal(data.train[1], table[:, 0])


# --- which column is the label, and what it says ------------------------------------------------


def labels_of(data):
    return [data.labels[index] for index in data.train[1]]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        pytest.param([-1, 3, 10, 3] * 3, ("-1", "3", "10"), id="numbers by value"),
        pytest.param([1000, 999] * 6, ("999", "1000"), id="beyond a byte"),
        pytest.param(["dog", "Zebra", "cat"] * 4, ("Zebra", "cat", "dog"), id="by code point"),
        pytest.param(["é", '"a, b"'] * 6, ("a, b", "é"), id="quoted"),
    ],
)
@pytest.mark.parametrize("header", [(), ["label", *PIXELS]], ids=["", "header"])
def test_classes_are_what_the_labels_are(tmp_path, labels, classes, header):
    table = TABLE.astype(object)
    table[:, 0] = labels
    path = write_csv(tmp_path / "a.csv", table, header)
    for _ in range(2):  # the text, then the copy
        data = read_file(path)
        assert (data.labels, data.class_names) == (classes, classes)
        assert labels_of(data) == [str(label).strip('"') for label in labels]
        np.testing.assert_array_equal(data.train[0], TABLE[:, 1:].reshape(-1, 1, 4, 4))


def test_labels_that_are_words_may_be_last_without_a_header(tmp_path):
    table = np.roll(TABLE, -1, 1).astype(object)
    table[:, -1] = ["dog", "cat"] * 6
    data = read_file(write_csv(tmp_path / "a.csv", table))
    assert labels_of(data) == ["dog", "cat"] * 6
    np.testing.assert_array_equal(data.train[0], TABLE[:, 1:].reshape(-1, 1, 4, 4))


def test_a_first_row_whose_label_is_a_name_of_columns_is_a_row(tmp_path):
    table = TABLE.astype(object)
    table[:, 0] = ["y", "n", "id"] * 4
    assert labels_of(read_file(write_csv(tmp_path / "a.csv", table))) == ["y", "n", "id"] * 4


def test_numbers_and_words_are_words_where_the_column_has_a_name(tmp_path):
    table = TABLE.astype(object)
    table[:, 0] = ["0", "A", "b"] * 4
    data = read_file(write_csv(tmp_path / "a.csv", table, ["label", *PIXELS]))
    assert labels_of(data) == ["0", "A", "b"] * 4


def test_test_labels_are_those_of_the_training_set(tmp_path):
    train, test = TABLE.copy(), TABLE[:4].copy()
    train[:, 0] = np.array([5, 24, 7])[train[:, 0]]
    test[:, 0] = [24, 24, 5, 7]
    write_csv(tmp_path / "train.csv", train)
    write_csv(tmp_path / "test.csv", test)
    data = read_folder(tmp_path)
    assert data.labels == ("5", "7", "24")
    assert data.test[1].tolist() == [2, 2, 0, 1]
    test[1, 0] = 9
    write_csv(tmp_path / "test.csv", test)
    with pytest.raises(InputError, match=r"test label 9 is not one of the 3 classes \(5, 7, 24\)"):
        read_folder(tmp_path)


def digits(rows=200):
    """Labels 0 to 9, and images whose corners are almost always background."""
    generator = np.random.default_rng(1)
    table = generator.integers(0, 256, (rows, 17))
    table[:, 0] = generator.permutation(np.arange(rows) % 10)
    table[:, [1, -1]] *= generator.integers(0, 20, (rows, 2)) == 0
    return table


def photographs(rows=2000):
    table = np.random.default_rng(1).integers(0, 256, (rows, 17))
    table[:, 0] = np.arange(rows) % 10
    return table


@pytest.mark.parametrize("table", [digits(), photographs()], ids=["digits", "photographs"])
def test_without_names_the_label_is_first_and_a_table_with_the_label_last_is_refused(
    tmp_path, table
):
    expect_table(read_file(write_csv(tmp_path / "a.csv", table)), table)
    last = np.roll(table, -1, 1)
    said = "the label may be the first column or the last one; name the columns in a first line"
    with pytest.raises(InputError, match=said):
        read_file(write_csv(tmp_path / "b.csv", last))
    expect_table(read_file(write_csv(tmp_path / "c.csv", last, [*PIXELS, "label"])), table)


@pytest.mark.parametrize("rows", [1, 3, 7, 40])
def test_also_few_rows_or_small_pixels_do_not_hide_that_the_label_is_last(tmp_path, rows):
    table = digits()[:rows]
    table[:, 0] = np.arange(1, rows + 1) * 7 % 10
    table[:, 1:] = np.random.default_rng(2).integers(0, 10, (rows, 16))
    table[:, -1] = 0
    data = read_file(write_csv(tmp_path / "a.csv", table))
    np.testing.assert_array_equal(data.train[0], table[:, 1:].reshape(-1, 1, 4, 4))
    assert labels_of(data) == [*map(str, table[:, 0])]
    with pytest.raises(InputError, match="the label may be the first column or the last one"):
        read_file(write_csv(tmp_path / "b.csv", np.roll(table, -1, 1)))


def test_labels_that_can_be_no_pixels_are_first_whatever_is_last(tmp_path):
    table = digits()
    table[:, -1] = table[:, 0]
    table[:, 0] += 1000
    assert labels_of(read_file(write_csv(tmp_path / "a.csv", table))) == [*map(str, table[:, 0])]


def test_words_that_pandas_takes_for_numbers_are_words(tmp_path):
    table = TABLE.astype(object)
    table[:, 0] = [True, False] * 6
    assert labels_of(read_file(write_csv(tmp_path / "a.csv", table))) == ["True", "False"] * 6


def test_a_word_after_thousands_of_numbers_is_a_word(tmp_path):
    table = np.tile(TABLE.astype(object), (500, 1))
    table[:, 0] = 7
    table[-1, 0] = "x"
    path = write_csv(tmp_path / "a.csv", table, ["label", *PIXELS])
    assert labels_of(read_file(path)) == ["7"] * 5999 + ["x"]
    with pytest.raises(InputError, match="line 6000, column 1: 'x' is not a label as those before"):
        read_file(write_csv(tmp_path / "b.csv", table))


@pytest.mark.parametrize("first", [0, 1, 1000])
def test_a_first_column_without_a_name_that_counts_the_rows_is_refused(tmp_path, first):
    table = digits()
    table[:, 0] = first + np.arange(200)
    with pytest.raises(InputError, match="the first column counts the rows, as an id does"):
        read_file(write_csv(tmp_path / "a.csv", table))
    inputs = read_file(write_csv(tmp_path / "b.csv", table, ["ImageId", *PIXELS]))
    assert inputs.train is None
    np.testing.assert_array_equal(inputs.inputs, table[:, 1:].reshape(-1, 1, 4, 4))


def test_an_id_and_a_label_without_names_are_refused(tmp_path):
    table = np.insert(digits(), 0, np.arange(200), 1)
    with pytest.raises(InputError, match=r"18 columns .* an id and a label, name the columns"):
        read_file(write_csv(tmp_path / "a.csv", table))


def test_a_name_of_more_digits_than_python_reads_is_a_name(tmp_path):
    header = ["label", *PIXELS[:15], "pixel" + "9" * 5000]
    expect_table(read_file(write_csv(tmp_path / "a.csv", TABLE, header)))


def test_two_names_that_may_be_the_label_are_refused(tmp_path):
    table = np.insert(TABLE, 0, 0, 1)
    with pytest.raises(InputError, match="line 1: 'class' and 'y' may both be the label; give one"):
        read_file(write_csv(tmp_path / "a.csv", table, ["Class", "y", *PIXELS]))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (["label", *PIXELS[:15], "pixel3"], "line 1: two columns are called 'pixel3'"),
        (["label", *PAIRS[:15], "9x9"], "line 1: two columns are called '9x9'"),
        (
            ["label", "file", *PIXELS],
            "what is 'file'\\? Take such columns out, or call one of them",
        ),
        (
            ["digit", "file", *PIXELS],
            "which of 'digit' and 'file' is the label\\? Call it so, and take the other out",
        ),
        (["label", *PIXELS, "pixel16"], "they have 17 pixels, where 4 x 4 are 16"),
        (["label", *PIXELS[:15]], "they have 15 pixels, where 4 x 4 are 16"),
        (["label", "a", "b"], r"3 columns .*; funcnn reads pictures, in a row a square of whole"),
        (["label", *(f"p{i}" for i in range(48))], "49 columns .* in colour, save their grey"),
    ],
)
def test_columns_that_are_neither_pixels_nor_labels_are_named(tmp_path, header, said):
    table = np.ones((12, len(header)), int)
    with pytest.raises(InputError, match=said):
        read_file(write_csv(tmp_path / "a.csv", table, header))


# --- damage ----------------------------------------------------------------------------------

LINES = text_of(TABLE).split(b"\n")


def with_line(number, line):
    return b"\n".join([*LINES[: number - 1], line, *LINES[number:]])


def with_field(number, column, field):
    fields = LINES[number - 1].split(b",")
    fields[column - 1] = field
    return with_line(number, b",".join(fields))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"label," + b",".join([b"p"] * 16) + b"\n", "no rows", id="header alone"),
        pytest.param(
            b",".join([b"label"] + [b"p"] * 16) + b"\n \n\n", "no rows", id="header, empty lines"
        ),
        pytest.param(with_field(7, 3, b"x"), "line 7, column 3: 'x' is not a whole", id="letter"),
        pytest.param(with_field(7, 3, b"NaN"), "line 7, column 3: 'NaN'", id="NaN"),
        pytest.param(with_field(7, 3, b""), "line 7, column 3: ''", id="nothing"),
        pytest.param(with_field(7, 17, b"256"), "line 7, column 17: '256'", id="pixel of 256"),
        pytest.param(with_field(7, 3, b"-1"), "line 7, column 3: '-1'", id="pixel of -1"),
        pytest.param(with_field(7, 1, b""), "line 7, column 1: '' is not a label", id="no label"),
        pytest.param(with_field(7, 1, b"0.5"), "line 7, column 1: '0.5' is not a label", id="half"),
        pytest.param(
            with_field(7, 1, b"4.5"),
            "'4.5' is not a label, a whole number or a word; funcnn reads pictures, in a row a sq",
            id="no table of pixels",
        ),
        pytest.param(
            with_field(7, 3, b"-1.5"),
            "'-1.5' is not a whole number from 0 to 255; funcnn reads pictures, in a row a square",
            id="a measured value",
        ),
        pytest.param(with_field(7, 1, b"nan"), "line 7, column 1: 'nan' is not a label", id="nan"),
        pytest.param(with_field(7, 1, b"9" * 30), "line 7, column 1: '999", id="enormous label"),
        pytest.param(with_field(7, 1, b"a\tb"), "line 7, column 1: 'a", id="a tab in a label"),
        pytest.param(
            text_of(TABLE).replace(b",", b";"), "separated by semicolons", id="semicolons"
        ),
        pytest.param(text_of(TABLE).replace(b",", b"\t"), "separated by tabs", id="tabs"),
        pytest.param(b"\n\n", "is empty", id="empty lines alone"),
        pytest.param(with_field(7, 3, b"0.5"), "line 7, column 3: '0.5'", id="fraction"),
        pytest.param(with_field(7, 3, b"1e400"), "line 7, column 3: '1e400'", id="beyond floats"),
        pytest.param(with_field(7, 3, b"9" * 30), "line 7, column 3: '999", id="beyond integers"),
        pytest.param(with_field(7, 3, b"True"), "line 7, column 3: 'True'", id="True"),
        pytest.param(with_field(7, 3, b"\xff"), "line 7: not comma-separated", id="not UTF-8"),
        pytest.param(with_field(7, 3, b"\0"), "line 7", id="NUL"),
        pytest.param(with_field(1, 3, b"x"), "line 1, column 3: 'x'", id="letter in line 1"),
        pytest.param(with_line(7, b""), "line 7: empty", id="empty line in the middle"),
        pytest.param(with_line(7, b"  "), "line 7: empty", id="line of spaces"),
        pytest.param(
            with_line(7, b"") + b"\n\n", "line 7: empty", id="in the middle and at the end"
        ),
        pytest.param(
            text_of(TABLE).replace(b"\n", b"\n\n"), "line 2: empty", id="every second line"
        ),
        pytest.param(
            with_line(1, b",".join(b"%d" % i for i in [*range(16), 999])),
            "column 17: '999'",
            id="numbers, but the last",
        ),
        pytest.param(with_line(7, b"1,2"), "line 7: 2 values, where line 1 has 17", id="short"),
        pytest.param(with_line(7, LINES[6] + b",5"), "line 7: 18 values", id="long row"),
        pytest.param(
            with_line(1, LINES[0] + b",5"), "18 columns are not a square", id="long first"
        ),
        pytest.param(with_line(1, LINES[0][:-9]), "columns are not", id="short first row"),
        pytest.param(text_of(TABLE[:, :16]) + text_of(TABLE), "line 13: 17", id="then longer"),
        pytest.param(text_of(TABLE[:, :15]), "15 columns are not a square", id="missing columns"),
        pytest.param(
            text_of(TABLE[:, :16], ["label", *PIXELS[:-1]]),
            "16 columns are not a label and a square of pixels (785",
            id="missing column, by the header",
        ),
        pytest.param(text_of(TABLE[:, :1]), "1 columns are not", id="labels alone"),
        pytest.param(text_of(TABLE).decode().encode("utf-16"), "line 1", id="UTF-16"),
        pytest.param(text_of(TABLE).decode().encode("utf-16"), "it is UTF-16", id="it is UTF-16"),
        pytest.param(text_of(TABLE, end="\r"), "line 1: lines end as on old Macs (CR)", id="CR"),
        pytest.param(text_of(TABLE).replace(b",", b" "), "there is no comma in", id="spaces alone"),
        pytest.param(b"# mine\n" + text_of(TABLE), "no comma in '# mine'", id="a comment"),
        pytest.param(with_field(7, 1, b"a" * 101), "line 7, column 1: 'aaa", id="endless label"),
        pytest.param(
            with_field(7, 3, b"184\x1d"), r"line 7, column 3: '184\x1d' is not a whole", id="a code"
        ),
        pytest.param(
            with_field(7, 3, b"0.25"),
            "'0.25' is not a whole number from 0 to 255; of pixels",
            id="0..1",
        ),
        pytest.param(b"\0" * 100, "line 1", id="zeros"),
        pytest.param(b"1" * (1 << 25), "longer than 16,777,216 bytes", id="one endless line"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "line 1", id="a picture"),
        pytest.param(b"PK\x03\x04" + bytes(99), "line 1", id="a zip file"),
    ],
)
@pytest.mark.parametrize("header", [False, True], ids=["", "header"])
def test_damage_is_an_input_error_that_names_the_line(tmp_path, content, said, header):
    if header and "line 7" in said:
        content = ",".join(["label", *PIXELS]).encode() + b"\n" + content
        said = said.replace("line 7", "line 8")
    file = tmp_path / "train.csv"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_file(file)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"], "a copy was left"


@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: c[:40] + b"x" + c[41:]])
def test_a_damaged_gzip_file_is_an_input_error(tmp_path, damage):
    (tmp_path / "a.csv.gz").write_bytes(damage(gzip.compress(text_of(TABLE))))
    with pytest.raises(InputError, match=r"a\.csv\.gz"):
        read_file(tmp_path / "a.csv.gz")


def test_a_packed_text_that_memory_cannot_hold_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text_of(TABLE)))
    monkeypatch.setattr(memory, "_container_room", lambda: 99)
    with pytest.raises(InputError, match=r"a\.csv\.gz claims [0-9,]+ bytes, but 99 bytes of mem"):
        read_file(tmp_path / "a.csv.gz")


def test_a_word_among_numbers_in_a_column_without_a_name_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(with_field(7, 1, b"x"))
    with pytest.raises(InputError, match="line 7, column 1: 'x' is not a label as those before"):
        read_file(tmp_path / "a.csv")


def test_the_line_is_right_far_into_a_file_too(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "_ROWS_AT_ONCE", 4)
    (tmp_path / "a.csv").write_bytes(with_field(11, 2, b"y"))
    with pytest.raises(InputError, match="line 11, column 2: 'y'"):
        read_file(tmp_path / "a.csv")


def test_a_train_csv_without_its_label_column_is_an_input_error(tmp_path):
    write_csv(tmp_path / "train.csv", TABLE[:, 1:])
    with pytest.raises(InputError, match="16 columns are 4 x 4 pixels and no label to train on"):
        read_folder(tmp_path)


def test_test_images_of_another_size_are_an_input_error(tmp_path):
    write_csv(tmp_path / "train.csv", TABLE)
    write_csv(tmp_path / "test.csv", TABLE[:, :9])
    with pytest.raises(InputError, match=r"images are 4 x 4 pixels, .*, but test images are 3 x 3"):
        read_folder(tmp_path)


def test_a_missing_file_and_a_folder_are_input_errors(tmp_path):
    with pytest.raises(InputError, match=r"a\.csv cannot be read: No such file"):
        read_file(tmp_path / "a.csv")
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(InputError, match=r"b\.csv cannot be read"):
        read_file(tmp_path / "b.csv")


def test_a_text_that_memory_cannot_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_container_room", lambda: 99)
    with pytest.raises(InputError, match=r"a\.csv claims [0-9]+ bytes, but 99 bytes of memory"):
        read_file(write_csv(tmp_path / "a.csv", TABLE))


@given(content=st.binary(max_size=60))
def test_any_bytes_are_images_or_an_input_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(content)
    try:
        assert read_file(path).inputs.dtype == np.uint8
    except InputError as error:
        said = str(error)
    else:
        return
    assert str(path) in said
    assert "\n" not in said


# --- the copy --------------------------------------------------------------------------------


@pytest.fixture
def read_twice(tmp_path):
    path = write_csv(tmp_path / "a.csv", TABLE)
    read_file(path)
    return path, tmp_path / "a.csv.funcnn.npy"


def no_text(monkeypatch):
    monkeypatch.setattr(csv_files, "_parse", lambda *args: pytest.fail("the text was read again"))


def test_the_copy_is_read_instead_of_the_text_and_numpy_can_read_it(read_twice, monkeypatch):
    path, copy = read_twice
    np.testing.assert_array_equal(np.load(copy), TABLE[:, 1:].reshape(-1, 4, 4))
    no_text(monkeypatch)
    expect_table(read_file(path))


def test_a_changed_text_is_read_again_even_if_its_length_and_time_are_the_same(read_twice):
    path, _ = read_twice
    before = path.stat()
    changed = np.roll(TABLE, 3, 0)
    write_csv(path, changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    expect_table(read_file(path), changed)
    expect_table(read_file(path), changed)


@pytest.mark.parametrize("part", np.linspace(0, 0.999, 25))
def test_a_copy_with_a_flipped_byte_is_not_trusted_and_made_again(read_twice, part, monkeypatch):
    path, copy = read_twice
    content = bytearray(copy.read_bytes())
    content[int(part * len(content))] ^= 1
    copy.write_bytes(content)
    expect_table(read_file(path))
    no_text(monkeypatch)
    expect_table(read_file(path))


@pytest.mark.parametrize("length", [0, 10, 200, -1])
def test_a_copy_cut_short_is_not_trusted(read_twice, length):
    path, copy = read_twice
    copy.write_bytes(copy.read_bytes()[:length])
    expect_table(read_file(path))


NO_TABLES = {
    "no array": [b"none"],
    "a damaged header": [b"\x93NUMPY\x01\x00\x04\x00(1,\n"],
    "no images": [np.empty(0)],
    "words for images": [np.full((12, 4, 4), b"a")],
    "fewer labels": [np.zeros((12, 4, 4), "u1"), np.arange(11)],
    "one label": [np.zeros((12, 4, 4), "u1"), np.array(3)],
    "labels of fractions": [np.zeros((12, 4, 4), "u1"), np.zeros(12)],
    "labels that are no text": [np.zeros((12, 4, 4), "u1"), np.full(12, b"\xff")],
}


@pytest.mark.parametrize("arrays", NO_TABLES.values(), ids=NO_TABLES)
def test_a_sealed_copy_that_is_no_table_is_passed_over(read_twice, arrays):
    path, copy = read_twice
    buffer = io.BytesIO()
    for array in [*arrays, *[np.empty(0)] * (3 - len(arrays))]:
        buffer.write(array) if isinstance(array, bytes) else np.save(buffer, array)
    with path.open("rb") as file:
        seal = csv_copies._seal(buffer.getvalue(), csv_copies.key_of(file))
    copy.write_bytes(buffer.getvalue() + seal)
    expect_table(read_file(path))


def test_a_copy_longer_than_any_table_of_the_text_is_not_read_and_made_again(
    read_twice, monkeypatch
):
    path, copy = read_twice
    length = copy.stat().st_size
    os.truncate(copy, 1 << 30)
    tracemalloc.start()
    expect_table(read_file(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 24
    assert copy.stat().st_size == length
    no_text(monkeypatch)
    expect_table(read_file(path))


def test_a_copy_that_memory_cannot_hold_is_not_read(read_twice, monkeypatch):
    path, _ = read_twice
    monkeypatch.setattr(memory, "_container_room", lambda: 99)
    with pytest.raises(InputError, match=r"a\.csv claims [0-9]+ bytes, but 99 bytes of memory"):
        read_file(path)


def test_the_densest_text_has_a_copy_too(tmp_path, monkeypatch):
    dense = np.tile(TABLE % 3, (200, 1))
    dense[:, -1] = 0  # or it might be the label
    (tmp_path / "a.csv").write_bytes(text_of(dense)[:-1])
    table = read_file(tmp_path / "a.csv").train[0]
    no_text(monkeypatch)
    np.testing.assert_array_equal(read_file(tmp_path / "a.csv").train[0], table)


def test_the_copy_of_another_file_is_not_trusted(read_twice, tmp_path):
    _, copy = read_twice
    other = write_csv(tmp_path / "b.csv", np.roll(TABLE, 3, 0))
    shutil.copy(copy, tmp_path / "b.csv.funcnn.npy")
    expect_table(read_file(other), np.roll(TABLE, 3, 0))


def test_a_folder_that_takes_no_copy_does_not_matter(tmp_path, monkeypatch):
    def refuse(path, content):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(csv_copies, "write_whole", refuse)
    expect_table(read_file(write_csv(tmp_path / "a.csv", TABLE)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_something_else_in_the_place_of_the_copy_does_not_matter(tmp_path):
    (tmp_path / "a.csv.funcnn.npy").mkdir()
    expect_table(read_file(write_csv(tmp_path / "a.csv", TABLE)))


def test_a_text_that_changes_while_it_is_read_leaves_no_copy(tmp_path, monkeypatch):
    parse = csv_files._parse

    def meddle(file, path, form):
        table = parse(file, path, form)
        with open(path, "ab") as other:
            other.write(text_of(TABLE[:1]))
        return table

    monkeypatch.setattr(csv_files, "_parse", meddle)
    read_file(write_csv(tmp_path / "a.csv", TABLE))
    assert not (tmp_path / "a.csv.funcnn.npy").exists()
