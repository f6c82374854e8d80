"""A report that its author writes on: the words stay, what is recorded is brought up to date."""

from pathlib import Path

import pytest

from funcnn.experiments.reports.document import (
    Document,
    Formula,
    Items,
    Listing,
    Picture,
    Section,
    Table,
    Text,
    finding,
)
from funcnn.experiments.reports.own_words import (
    begin_words,
    brought_up_to_date,
    keyed,
    renewed,
    unrecorded,
    with_words,
)

HERE = Path("runs/it")


def document(loss="0.25", said="a is the best, with 91.23 %."):
    results = [
        Table(["rate", "loss"], [["0.1", loss]], "Rates."),
        finding(said),
        Picture(HERE / "figures/curve.png", "Curves.", "epoch 1\n\nepoch 2", HERE / "a.gif"),
        Listing("epoch 1\n\n  epoch 2", "As printed."),
        Items(["**x: 2 points more**", "y"]),
    ]
    setup = [
        Text("Two layers, $a < b$, <b>."),
        Section("Sigmoid", [Formula(["y &= x^2", "z &= 1"]), Text("The lab asks for 80 %.")]),
        Section("Network", [finding("37 parameters.")]),
    ]
    return Document(
        "points",
        "Two hidden layers.",
        [("Seeds", "3")],
        [Section("Set-up", setup), Section("Results", results)],
    )


def test_a_text_that_nobody_touched_is_the_report_itself():
    assert with_words(begin_words(document(), HERE), document()) == document()
    bare = Document("a", "", [], [Text("first"), Text("second")])
    words = with_words(begin_words(bare, HERE), bare)
    assert (words.subtitle, words.blocks[0]) == ("", Text("first"))


def test_what_is_recorded_has_a_key_of_its_section_and_place():
    assert list(keyed(document())) == [
        *("facts", "set-up-network-1"),
        *(f"results-{number}" for number in range(1, 6)),
    ]


def test_words_stay_and_what_is_recorded_follows_the_records():
    text = begin_words(document(), HERE)
    mine = text.replace("Two layers,", "My own\ntwo layers,").replace(
        "## Results", "## What I found"
    )
    mine += "\nAnd I say:\n\n- one\n  more\n- two\n\n```\na\n\nb\n```\n"
    now = renewed(mine, document("0.19", "b is."), HERE)
    assert "0.25" in mine
    assert "0.25" not in now
    assert "0.19" in now
    assert renewed(now, document(), HERE) == mine
    page = with_words(now, document("0.19", "b is."))
    setup, results = page.blocks
    assert setup.blocks[0] == Text("My own two layers, $a < b$, <b>.")
    assert results.title == "What I found"
    assert results.blocks[1] == finding("b is.")
    assert results.blocks[-3:] == [
        Text("And I say:"),
        Items(["one more", "two"]),
        Listing("a\n\nb", ""),
    ]


def test_a_block_that_is_deleted_stays_away_and_one_that_is_moved_stays_there():
    text = begin_words(document(), HERE)
    start = text.index("<!-- recorded: set-up-network-1 -->")
    end = text.index("<!-- end -->", start) + len("<!-- end -->\n")
    moved = text[:start] + text[end:] + "\n" + text[start:end]
    page = with_words(renewed(moved, document(), HERE), document())
    assert page.blocks[0].blocks[-1] == Section("Network", [])
    assert page.blocks[1].blocks[-1] == finding("37 parameters.")
    without = with_words(text[:start] + text[end:], document())
    assert finding("37 parameters.") not in without.blocks[0].blocks[-1].blocks


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("It reached 91.2 %, above 80%, or 91%.", []),
        ("It reached 97.3 %, and 97.3 % again.", ["97.3 %"]),
        ("In 91.24% of cases, 100%.", ["91.24%", "100%"]),
    ],
)
def test_a_percentage_that_no_record_comes_to_is_named(said, found):
    text = begin_words(document(), HERE) + f"\n{said}\n"
    assert unrecorded(text, document(), HERE) == found


def with_more():
    first = document()
    more = Section("What raised it", [finding("momentum."), finding("convolutions.")])
    return first._replace(blocks=[*first.blocks, more])


def test_a_text_that_nobody_touched_is_begun_anew():
    begun, said = brought_up_to_date("", document(), HERE)
    assert (begun, said) == (begin_words(document(), HERE), [])
    text, said = brought_up_to_date(begun, with_more(), HERE)
    assert (text, said) == (begin_words(with_more(), HERE), [])
    assert with_words(text, with_more()) == with_more()


def test_what_came_since_an_author_wrote_is_named_and_what_is_gone_too():
    mine = begin_words(document(), HERE).replace("Two layers", "My two layers")
    assert brought_up_to_date(mine, document(), HERE) == (mine, [])
    text, said = brought_up_to_date(mine, with_more(), HERE)
    assert text == mine
    assert said == [
        "has not what-raised-it-1, what-raised-it-2, which the report has by now: move it away, "
        "and it is begun anew"
    ]
    more = begin_words(with_more(), HERE).replace("Two layers", "My two layers")
    _, said = brought_up_to_date(more, document(), HERE)
    assert said == [
        "has what-raised-it-1, what-raised-it-2, which the report has no longer: move it away, and "
        "it is begun anew"
    ]


def test_a_block_that_its_author_deleted_is_not_missed():
    text = begin_words(document(), HERE)
    start = text.index("<!-- recorded: set-up-network-1 -->")
    without = text[:start] + text[text.index("<!-- end -->", start) + len("<!-- end -->\n") :]
    assert brought_up_to_date(without, document(), HERE)[1] == []


def test_equal_titles_in_two_sections_have_keys_of_their_own():
    parts = [Section(part, [Section("CNN", [finding(part)])]) for part in ("Part 1", "Part 2")]
    assert list(keyed(Document("", "", [], parts))) == ["facts", "part-1-cnn-1", "part-2-cnn-1"]
