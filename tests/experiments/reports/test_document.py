"""Reports: the page is whole, safe and needs nothing else, and the PDF says what the page says."""

import base64
import io
import itertools
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest
from helpers import need_weasyprint
from PIL import Image

from funcnn.experiments import extras
from funcnn.experiments.errors import InputError
from funcnn.experiments.reports import pdf
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
from funcnn.experiments.reports.html import to_html
from funcnn.experiments.reports.pdf import to_pdf, write_pdf

EPOCHS = "\n".join(f"epoch {epoch} loss : {0.7 / epoch:.16f}" for epoch in range(1, 31))
VOID = {"meta", "link", "img", "source", "br"}
HOSTILE = "</p><script>alert('1')</script> 王小明 \" 김민준 & <b "


def png(path, size=(60, 40), **options):
    Image.new("RGB", size, "#0072B2").save(path, "PNG", **options)
    return path


def gif(path, colours=("red", "green", "blue")):
    first, *others = [Image.new("RGB", (8, 6), colour) for colour in colours]
    first.save(path, save_all=True, append_images=others, duration=100)
    return path


def rich(folder):
    """A document with every kind of block, and two levels of sections."""
    curve, boundary = png(folder / "curve.png"), gif(folder / "boundary.gif")
    setup = [
        Section("Sigmoid", [Formula([r"y &= \frac{1}{1 + e^{-x}}", "x &< 0"])]),
        Section("Network", [Text("Two **hidden layers**, `X -> W1 -> s`.")]),
    ]
    results = [
        Picture(curve, "Loss over epochs."),
        Table(["rate", "loss"], [["0.1", "0.25 ± 0.01"], ["1", "nan"]], "Rates.", best=0),
        Picture(boundary, "The boundary over training."),
        Listing(EPOCHS, "As printed."),
        Table(["set", "accuracy (%)"], [["XOR", "100.00"]], "Accuracy."),
    ]
    return Document(
        "points",
        "Two hidden layers",
        [("Student", "王小明"), ("Machine", "2 cores")],
        [Section("Set-up", setup), Section("Results", results)],
    )


def one(*blocks):
    """A document of these blocks alone."""
    return Document("title", "", [], [Section("section", blocks)])


class Page(HTMLParser):
    """A page taken apart: elements as (tag, attributes, text); it must be closed throughout."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        element = [tag, dict(attrs), ""]
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, *tags):
        return [element for element in self.elements if element[0] in tags]

    def texts(self, *tags):
        return [text for _, _, text in self.all(*tags)]

    def values(self, attribute):
        return [found[attribute] for _, found, _ in self.elements if attribute in found]


@pytest.fixture
def document(tmp_path):
    return rich(tmp_path)


# --- the page --------------------------------------------------------------------------------


def test_nothing_on_the_page_points_outside_it(document):
    text = to_html(document)
    page = Page(text)
    for attribute in ("src", "srcset", "href"):
        for value in page.values(attribute):
            assert re.match(r"#|data:", value), value
    assert not re.search(r"url\(|@import|https?:", text)
    assert not page.all("script", "iframe", "object", "base")
    assert not [name for _, found, _ in page.elements for name in found if name.startswith("on")]


def test_every_link_and_label_has_its_one_target(document):
    page = Page(to_html(document))
    targets = page.values("id")
    assert len(set(targets)) == len(targets)
    links = [attributes["href"][1:] for _, attributes, _ in page.all("a")]
    assert links == ["section-1", "section-1.1", "section-1.2", "section-2"]
    assert set(links + page.values("aria-labelledby")) <= set(targets)


def test_sections_figures_and_tables_are_numbered_in_their_order(document):
    page = Page(to_html(document))
    headings = ["Contents", "1 Set-up", "1.1 Sigmoid", "1.2 Network", "2 Results"]
    assert page.texts("h2", "h3") == headings
    assert [tag for tag, _, _ in page.all("h1", "h2", "h3")] == ["h1", "h2", "h2", "h3", "h3", "h2"]
    assert page.texts("a") == headings[1:]
    assert page.texts("caption") == ["Table 1. Rates.", "Table 2. Accuracy."]
    assert page.texts("figcaption") == [
        "Figure 1. Loss over epochs.",
        "Figure 2. The boundary over training. The last frame of an animation.",
        "As printed.",
    ]


def test_a_reader_who_cannot_see_it_is_told_the_same(document):
    page = Page(to_html(document))
    ((_, language, _),) = page.all("html")
    assert language["lang"] == "en"
    assert [found["alt"] for _, found, _ in page.all("img")] == [
        "Loss over epochs.",
        "The boundary over training.",
    ]
    scopes = [found.get("scope") for _, found, _ in page.all("th")]
    assert scopes == ["col", "col", "row", "row", "col", "col", "row"]
    assert page.texts("dt") == ["Student", "Machine"]
    assert page.texts("dd") == ["王小明", "2 cores"]


def test_what_is_printed_keeps_its_lines_and_spaces():
    text = "\n  Epoch:  1 |Train Loss:  1.0000\nEpoch: 12 `a` **b** <c>\n"
    assert Page(to_html(one(Listing(text, "")))).texts("pre") == [text]


@pytest.mark.parametrize(("lines", "columns"), [(16, None), (17, "column-width: 4ch")])
def test_a_long_listing_stands_in_columns(lines, columns):
    page = Page(to_html(one(Listing("\n".join(["abc"] * lines), "lines"))))
    assert page.all("code")[0][1].get("style") == columns


@pytest.mark.parametrize(
    "place",
    [
        lambda text: Document(text, "", [], []),
        lambda text: Document("title", text, [], []),
        lambda text: Document("title", "", [(text, "value")], []),
        lambda text: Document("title", "", [("name", text)], []),
        lambda text: Document("title", "", [], [Section(text, [])]),
        lambda text: one(Section(text, [])),
        lambda text: one(Text(text)),
        lambda text: one(Listing(text, "caption")),
        lambda text: one(Listing("text", text)),
        lambda text: one(Table([text, ""], [["", ""]], "caption")),
        lambda text: one(Table(["", ""], [[text, ""]], "caption")),
        lambda text: one(Table(["", ""], [["", text]], "caption")),
        lambda text: one(Table(["", ""], [], text)),
        lambda text: one(Picture(Path("picture.png"), text)),
    ],
)
def test_names_are_escaped_wherever_they_stand(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    png(Path("picture.png"))
    plain, hostile = Page(to_html(place("name"))), Page(to_html(place(HOSTILE)))
    assert [tag for tag, _, _ in hostile.elements] == [tag for tag, _, _ in plain.elements]
    assert HOSTILE in hostile.all("html")[0][2]
    assert hostile.values("alt") in ([], [HOSTILE])


@pytest.mark.parametrize(
    ("text", "shown", "codes", "bolds"),
    [
        ("a `b` and **c**", "a b and c", ["b"], ["c"]),
        ("`a ** b ** c` **d e**", "a ** b ** c d e", ["a ** b ** c"], ["d e"]),
        ("`<a & b>`", "<a & b>", ["<a & b>"], []),
        ("2 ** 3 ** 4, a ` b", "2 ** 3 ** 4, a ` b", [], []),
        ("**** and ``", "**** and ``", [], []),
    ],
)
def test_the_two_marks_and_nothing_else(text, shown, codes, bolds, tmp_path):
    page = Page(to_html(one(Text(text), Picture(png(tmp_path / "a.png"), text))))
    assert page.texts("p") == [shown]
    assert page.values("alt") == [shown]
    assert (page.texts("code"), page.texts("strong")) == (codes * 2, bolds * 2)


def test_a_formula_is_a_picture_whose_title_is_its_tex(document):
    page = Page(to_html(document))
    titles = ["points", "y ", r"= \frac{1}{1 + e^{-x}}", "x ", "< 0"]
    assert page.texts("title") == titles
    for _, found, _ in page.all("svg"):
        assert (found["role"], found["fill"]) == ("img", "currentColor")
        _, top, width, height = map(int, found["viewbox"].split())
        said = dict(part.split(":") for part in found["style"].split(";"))
        sizes = (said[name].removesuffix("em") for name in ("width", "height", "vertical-align"))
        assert [1000 * float(size) for size in sizes] == pytest.approx(
            [width, height, -height - top]
        )
    assert all(re.fullmatch(r"[MLQCZ \d-]+", found["d"]) for _, found, _ in page.all("path"))


def test_tex_in_a_text_stands_on_its_line_and_what_is_none_stays_as_it_is(tmp_path):
    text = r"From $a < b$ on; $\nothing$, $5 and $6, $王$ and $ a $."
    page = Page(to_html(one(Text(text), Picture(png(tmp_path / "a.png"), r"Of $\odot$."))))
    assert page.texts("p") == [text.replace("$a < b$", "a < b")]
    assert [found["class"] for _, found, _ in page.all("svg")] == ["tex", "tex"]
    assert page.values("alt") == [r"Of \odot."]


def test_a_formula_that_is_no_tex_is_an_error():
    with pytest.raises(ValueError, match=r"\\nothing"):
        to_html(one(Formula([r"a = \nothing"])))


def test_items_stand_in_a_list_and_a_link_beside_the_page_is_its_words():
    page = Page(to_html(one(Items(["`a`", "see [the run](runs/a)"]))))
    assert page.texts("li")[1:] == ["a", "see the run"]  # after that of the contents
    assert page.texts("a") == ["1 section"]


@pytest.mark.parametrize(
    ("column", "numeric"),
    [
        (["1", "-0.5", "1e-05", "10,000"], True),
        (["97.53 ± 0.12", "98.1 ± 0.2"], True),
        (["12 s", "1.68 MB", "99 %"], True),
        (["0.1", "nan", "−3"], True),  # noqa: RUF001, a minus sign
        (["0.25", "**0.5**", "", "none"], True),
        (["784-512-10", "784-60-47"], False),
        (["ReLU", "tanh", "1"], False),
        (["", ""], False),
    ],
)
def test_columns_of_numbers_stand_to_the_right(column, numeric):
    table = Table(["name", "value"], [["row", cell] for cell in column], "caption")
    page = Page(to_html(one(table)))
    heads, cells = page.all("th")[:2], page.all("td")
    assert [found.get("class") for _, found, _ in cells] == ["number" if numeric else None] * len(
        column
    )
    assert [found.get("class") for _, found, _ in heads] == [None, cells[0][1].get("class")]


@pytest.mark.parametrize(("columns", "kind"), [(8, None), (9, "wide")])
def test_a_table_of_many_columns_is_set_to_fit_on_paper(columns, kind):
    ((_, found, _),) = Page(to_html(one(Table(["name"] * columns, [], "caption")))).all("table")
    assert found.get("class") == kind


def test_the_best_row_is_marked_and_no_other(document):
    rows = Page(to_html(document)).all("tr")
    assert [text for _, found, text in rows if found.get("class") == "best"] == ["0.10.25 ± 0.01"]


def test_equal_documents_give_equal_pages(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert to_html(rich(tmp_path / "a")) == to_html(rich(tmp_path / "b"))


# --- pictures --------------------------------------------------------------------------------


def inside(uri, kind):
    head, _, content = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(content, validate=True)


def test_pictures_are_inside_as_they_were(document):
    page = Page(to_html(document))
    curve, still = page.all("img")
    (moving,) = page.all("source")
    _, results = document.blocks
    pictures = [block.path for block in results.blocks if isinstance(block, Picture)]
    assert inside(curve[1]["src"], "image/png") == pictures[0].read_bytes()
    assert inside(moving[1]["srcset"], "image/gif") == pictures[1].read_bytes()
    # On paper, and for who wants no motion: the last frame, what it all came to.
    with Image.open(io.BytesIO(inside(still[1]["src"], "image/png"))) as frame:
        assert frame.convert("RGB").getpixel((0, 0)) == (0, 0, 255)
    assert moving[1]["media"] == "screen and (prefers-reduced-motion: no-preference)"


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, ("300", "150")),
        ({"dpi": (120, 120)}, ("240", "120")),
        ({"dpi": (0, 0)}, ("300", "150")),
    ],
)
def test_a_picture_is_as_large_as_it_was_drawn(options, size, tmp_path):
    picture = png(tmp_path / "a.png", (300, 150), **options)
    ((_, found, _),) = Page(to_html(one(Picture(picture, "caption")))).all("img")
    assert (found["width"], found["height"]) == size


def broken(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "none.png", "cannot read the picture .*none.png: No such file"),
        (lambda folder: folder, "cannot read the picture .*: Is a directory"),
        (lambda folder: broken(folder / "a.png", b""), "a.png is no PNG or GIF that can be read"),
        (
            lambda folder: broken(folder / "a.png", png(folder / "b.png").read_bytes()[:-30]),
            "a.png is no PNG or GIF that can be read",
        ),
        (
            lambda folder: broken(folder / "a.gif", b"<svg onload='alert(1)'></svg>"),
            "a.gif is no PNG or GIF that can be read",
        ),
    ],
    ids=["missing", "folder", "empty", "cut short", "not a picture"],
)
def test_a_picture_that_cannot_be_read_is_one_line_that_names_it(make, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        to_html(one(Picture(make(tmp_path), "caption")))
    assert "\n" not in str(caught.value)


def test_the_moving_form_of_a_picture_is_on_screens_alone_and_counts_once(read_pdf, tmp_path):
    still, moving = png(tmp_path / "a.png"), gif(tmp_path / "a.gif")
    page = Page(text := to_html(one(Picture(still, "Panels.", moving=moving), Text("end"))))
    first, second = (attributes for _, attributes, _ in page.all("img"))
    assert inside(first["src"], "image/png") == still.read_bytes()
    assert (second["class"], inside(second["src"], "image/gif")) == ("moving", moving.read_bytes())
    assert page.texts("figcaption") == ["Figure 1. Panels."]
    write_pdf(text, tmp_path / "a.pdf")
    pictures = [image for each in read_pdf(tmp_path / "a.pdf").pages for image in each.images]
    assert len(pictures) == 1


def test_a_picture_of_words_has_them_for_whoever_cannot_see_it(tmp_path):
    page = Page(to_html(one(Picture(png(tmp_path / "a.png"), "A screen.", 'epoch 1\n"<b>"'))))
    ((_, attributes, _),) = page.all("img")
    assert attributes["alt"] == 'epoch 1\n"<b>"'


# --- the PDF ---------------------------------------------------------------------------------


@pytest.fixture
def read_pdf():
    """A function that gives a PDF's pages and outline."""
    need_weasyprint()
    return pytest.importorskip("pypdf", reason="it reads what was written").PdfReader


def titles(outline):
    """The titles of an outline and of what is inside each, in their order."""
    for item in outline:
        yield from titles(item) if isinstance(item, list) else [item.title]


def text_of(page):
    # Of a font with a table of codes of its own, pypdf reads the two bytes of a code one by one.
    return re.sub(r"\s+", " ", page.extract_text().replace("\0", ""))


def test_the_pdf_says_what_the_page_says(document, read_pdf, tmp_path):
    write_pdf(to_html(document), tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
    reader = read_pdf(tmp_path / "report.pdf")
    assert reader.metadata.title == "points"
    assert len(reader.pages) == 2
    text = " ".join(map(text_of, reader.pages))
    for said in ("Two hidden layers", "2 cores", "1.2 Network", "Table 1. Rates.", "0.25 ± 0.01"):
        assert said in text
    assert all(line in text for line in EPOCHS.splitlines())
    assert "The last frame of an animation." in text
    for number, page in enumerate(reader.pages, 1):
        assert f"{number} / 2" in text_of(page)
    pictures = {image.name: image.image for page in reader.pages for image in page.images}
    colours = [picture.convert("RGB").getpixel((0, 0)) for picture in pictures.values()]
    assert sorted(colours) == [(0, 0, 255), (0, 114, 178)]
    headings = ["points", "Contents", "1 Set-up", "1.1 Sigmoid", "1.2 Network", "2 Results"]
    assert list(titles(reader.outline)) == headings


def test_a_heading_stands_on_the_page_of_what_it_heads(read_pdf, tmp_path):
    picture = png(tmp_path / "a.png", (400, 300))
    sections = [
        Section(f"Heading {name}", [Picture(picture, f"Caption {name}.")]) for name in "ABCDEFG"
    ]
    write_pdf(to_html(Document("title", "", [], sections)), tmp_path / "report.pdf")
    first, *others = [text_of(page) for page in read_pdf(tmp_path / "report.pdf").pages]
    pages = [first.partition("Heading G")[2], *others]  # without the table of contents
    assert len(pages) > 2
    for name in "ABCDEFG":
        assert [f"Heading {name}" in page for page in pages] == [
            f"Caption {name}." in page for page in pages
        ]


# Of the figure, how high it is and how high it may be set; the height above it, and the pages.
FITTED = [
    ((500, 334), 334, 140, 1),  # a third of the first page, but for a little, is not enough for it
    ((500, 334), 334, 260, 2),  # less than a third is blank
    ((700, 640), 472, 140, 2),  # to fit, it would be too small to be read
]


@pytest.mark.parametrize(("size", "largest", "above", "pages"), FITTED)
def test_a_figure_that_nearly_fits_leaves_no_third_of_a_page_blank(
    size, largest, above, pages, tmp_path
):
    heights = (200, above)
    blocks = [Picture(png(tmp_path / f"{h}.png", (500, h)), "Above.") for h in heights]
    document = one(*blocks, Picture(png(tmp_path / "it.png", size), "A figure."))
    laid_out = pdf._laid_out(to_html(document)).pages
    assert len(laid_out) == pages
    *_, image = (
        box for page in laid_out for box in pdf._lines(page._page_box) if box.element_tag == "img"
    )
    if pages == 1:
        assert 0.55 * largest < image.height < largest - 10
    else:
        assert image.height == pytest.approx(largest, abs=1)


def test_where_a_figure_would_be_too_small_that_above_it_makes_room_too(tmp_path):
    sizes = {"top": (500, 100), "above": (500, 240), "it": (700, 640)}
    pictures = [Picture(png(tmp_path / f"{n}.png", size), n) for n, size in sizes.items()]
    (page,) = pdf._laid_out(to_html(one(*pictures))).pages
    top, above, last = (
        box.height for box in pdf._lines(page._page_box) if box.element_tag == "img"
    )
    assert top == 100
    assert 0.55 * 240 < above < 235
    assert 0.55 * 472 < last < 465


def test_no_last_page_has_a_line_alone_if_a_figure_can_be_smaller(monkeypatch, tmp_path):
    above = Picture(png(tmp_path / "above.png", (500, 430)), "Above.")
    last = Picture(png(tmp_path / "last.png", (500, 300)), "The last.")
    page = to_html(one(above, last, Text("It says this.")))
    small = pdf._laid_out(page).pages
    monkeypatch.setattr(pdf, "_FEW", 0)
    large = pdf._laid_out(page).pages
    assert (len(small), len(large)) == (1, 2)
    heights = [
        [box.height for box in pdf._lines(pages[0]._page_box) if box.element_tag == "img"]
        for pages in (small, large)
    ]
    assert heights[1][0] == heights[0][0]
    assert 0.55 * heights[1][1] < heights[0][1] < heights[1][1]


def test_equal_pages_give_equal_pdfs(document, read_pdf, tmp_path):
    for name in ("a.pdf", "b.pdf"):
        write_pdf(to_html(document), tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_without_harfbuzzs_subset_library_it_is_the_same_on_any_day(
    document, read_pdf, monkeypatch, caplog, tmp_path
):
    monkeypatch.setattr("weasyprint.pdf.fonts.harfbuzz_subset", None)
    monkeypatch.setattr("time.time", itertools.count(1e9, 86_400).__next__)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    for name in ("a.pdf", "b.pdf"):
        write_pdf(to_html(document), tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert "Two hidden layers" in text_of(read_pdf(tmp_path / "a.pdf").pages[0])
    assert [said for said in caplog.messages if "boxes" not in said] == []  # it has Chinese names
    assert "SOURCE_DATE_EPOCH" not in os.environ


def test_signs_that_no_font_here_has_are_named(monkeypatch, caplog):
    fonts = matplotlib.get_data_path() + "/fonts/ttf"
    monkeypatch.setattr(
        "matplotlib.font_manager.findSystemFonts",
        lambda: [f"{fonts}/none.ttf", f"{fonts}/DejaVuSans.ttf"],
    )
    page = '<html lang="en"><title>Report</title><p>{}</p></html>'
    to_pdf(page.format("José, 30 ± 1 %"))
    assert caplog.messages == []
    to_pdf(page.format("王小明, José"))
    assert caplog.messages == [
        "the PDF has boxes for 小 明 王, which no font here has; one is Noto Sans CJK TC"
    ]


def test_without_weasyprint_it_says_what_to_install(monkeypatch, tmp_path):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    (tmp_path / "report.pdf").write_bytes(b"before")
    with pytest.raises(
        InputError, match=r"^weasyprint is not installed: pip install 'funcnn\[report\]'$"
    ):
        write_pdf("", tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes() == b"before"


def test_without_pango_it_is_one_line(monkeypatch, capsys, tmp_path):
    def missing(name):
        print("\n-----\n\nWeasyPrint could not import some external libraries.\n")
        raise OSError("cannot load library 'libpango-1.0-0': no such file.  Additionally, more")

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"the system library Pango .*'libpango-1.0-0'") as caught:
        write_pdf("", tmp_path / "report.pdf")
    assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())
