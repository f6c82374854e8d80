"""The site: it is built without a warning, off the network, and no page asks another host."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from helpers import ROOT

pytest.importorskip("sphinx")

LINKED = {"github.com", "www.sphinx-doc.org"}  # hosts of links that a reader may click on


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs"]
    built = subprocess.run(
        [sys.executable, *command, "-d", folder / "doctrees", folder / "html"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


class Addresses(HTMLParser):
    """What a page loads, what it links to, and its anchors."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.linked, self.anchors = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("id", "name"):
                self.anchors.add(value)
            elif name == "style":
                self.loaded += re.findall(r"url\(['\"]?(.*?)['\"]?\)", value)
            elif tag == "a" and name == "href":
                self.linked.append(value)
            elif name in ("src", "srcset", "href", "data", "poster", "action", "xlink:href"):
                self.loaded.append(value)


def pages(site):
    return {
        path.relative_to(site).as_posix(): Addresses(path.read_text("utf-8"))
        for path in site.rglob("*.html")
    }


def test_no_page_asks_another_host(site):
    loaded = {(name, it) for name, page in pages(site).items() for it in page.loaded}
    assert any(address.split("?")[0].endswith("mathjax.js") for _, address in loaded)
    for name, address in loaded:
        parts = urlsplit(address)
        assert not parts.netloc, (name, address)
        assert parts.scheme in ("", "data"), (name, address)
        if parts.path and not parts.scheme:
            assert ((site / name).parent / parts.path).exists(), (name, address)


def test_no_style_asks_another_host(site):
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        text = re.sub(r"/\*.*?\*/", "", style.read_text("utf-8"), flags=re.S)
        assert "@import" not in text, style
        for address in re.findall(r"url\(\s*['\"]?(.*?)['\"]?\s*\)", text):
            assert address.startswith(("data:", "#")) or (style.parent / address).exists(), address


def test_no_script_of_the_site_loads_from_another_host(site):
    for script in site.rglob("*.js"):
        text = script.read_text("utf-8")
        loads = r"""(?<!<a )(src|href|import|fetch\()\s*[=(]?\s*["'`]https?://"""
        assert not re.search(loads, text), script


def test_links_lead_somewhere(site):
    known = pages(site)
    for name, page in known.items():
        for address in page.linked:
            parts = urlsplit(address)
            if parts.netloc:
                assert parts.netloc in LINKED, (name, address)
            elif parts.path or parts.fragment:
                target = (site / name).parent / parts.path if parts.path else site / name
                assert target.exists(), (name, address)
                if parts.fragment and target.suffix == ".html":
                    anchors = known[target.resolve().relative_to(site.resolve()).as_posix()].anchors
                    assert parts.fragment in anchors, (name, address)


def test_links_of_the_markdown_files_at_the_top_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data/README.md"):
        for address in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            assert urlsplit(address).netloc or (page.parent / address).exists(), address


def test_every_page_can_be_reached_and_every_picture_is_shown(site):
    shown = {Path(it).name for page in pages(site).values() for it in page.loaded}
    assert {path.name for path in (ROOT / "docs/figures").iterdir()} <= shown


def test_every_example_is_shown(site):
    text = (site / "examples.html").read_text("utf-8")
    scripts = [path.name for path in (ROOT / "examples").glob("*.py")]
    assert scripts
    assert all(f"examples/{name}" in text for name in scripts)


def test_formulas_keep_their_stars_and_names_are_links(site):
    text = (site / "reference/images.html").read_text("utf-8")
    assert "y = x * w + b" in re.sub(r"<[^>]+>", "", text)
    text = (site / "reference/losses.html").read_text("utf-8")
    assert 'href="#funcnn.binary_cross_entropy"' in text


def test_the_readme_is_a_page():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 150
    block = re.search(r"```python\n(.*?)```", "\n".join(lines), re.S)[1]
    assert len([line for line in block.splitlines() if line.strip()]) <= 25


def test_a_signature_shows_its_defaults_as_a_script_writes_them(site):
    text = re.sub(r"<[^>]+>", "", (site / "reference/layers.html").read_text("utf-8"))
    assert "Dense(out_features, bias=True, weight_init=glorot_uniform(), bias_init=zeros())" in text
    assert not [page for page in site.rglob("*.html") if " at 0x" in page.read_text("utf-8")]


def test_what_is_said_of_an_argument_is_a_paragraph_and_no_other_word_with_a_colon_is(site):
    losses = (site / "reference/losses.html").read_text("utf-8")
    assert re.search(r"<p><strong>label_smoothing</strong>: ", losses)
    batch_norm = re.sub(r"\s+", " ", (site / "reference/normalization.html").read_text("utf-8"))
    assert "<p><strong>momentum</strong>: " in batch_norm
    assert " for that: so loops run" in re.sub(r"<[^>]+>", "", batch_norm)
