"""The published data sets: what they are, where they are published, the checksums of their files.

`$FUNCNN_MIRROR` (http:// or https://) replaces the publishers: a file is then expected at
`$FUNCNN_MIRROR/mnist/train-images-idx3-ubyte.gz`, the EMNIST archive at
`$FUNCNN_MIRROR/emnist/gzip.zip`. Whatever it sends is held to the same checksums.
"""

import os
from typing import NamedTuple

from funcnn.experiments.data import emnist
from funcnn.experiments.errors import InputError


class PublishedFile(NamedTuple):
    """An IDX file: its name without `.gz`, its SHA-256 (see `PublishedSet`), its unpacked bytes."""

    name: str
    sha256: str
    size: int


class Archive(NamedTuple):
    """A zip file that holds several sets: the folder and the file that it is kept as."""

    folder: str
    file: str
    sha256: str
    size: int


class PublishedSet(NamedTuple):
    """A set of four files: images and labels to train on, images and labels to test with.

    packed_sums: the checksums are those of the `.gz` files; otherwise of their unpacked bytes.
    """

    title: str
    licence: str
    class_names: tuple[str, ...]
    url: str
    """The folder that the files, or the archive, are downloaded from."""
    download: int
    """How many bytes the publisher sends."""
    files: tuple[PublishedFile, PublishedFile, PublishedFile, PublishedFile]
    torchvision: str
    """The folder in which torchvision keeps it, in the one that is given as its `root`."""
    archive: Archive | None = None
    packed_sums: bool = False
    packaged: tuple[str, ...] = ()
    """Folders where a package of the operating system keeps it."""


_FASHION_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_EMNIST_LICENCE = (
    "none of its own, Cohen, Afshar, Tapson, van Schaik; from NIST Special Database 19"
)
_EMNIST_URL = "https://biometrics.nist.gov/cs_links/EMNIST"
# The archive's checksum and size are those that TensorFlow Datasets publishes. For the unpacked
# Balanced and ByMerge files no published checksums were found; those of the packed files are from
# github.com/notwa/mnists, and the CRC-32 that the archive has of each is compared as well.
_EMNIST_ARCHIVE = Archive(
    *("emnist", "gzip.zip"),
    sha256="fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
    size=561_753_746,
)

SETS = {
    "fashion-mnist": PublishedSet(
        "Fashion-MNIST: 70,000 pictures of clothing, 28 x 28 grey, 10 classes",
        "MIT, Zalando SE",
        _FASHION_NAMES,
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        30_878_645,
        (
            PublishedFile(
                "train-images-idx3-ubyte",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                47_040_016,
            ),
            PublishedFile(
                "train-labels-idx1-ubyte",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                60_008,
            ),
            PublishedFile(
                "t10k-images-idx3-ubyte",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                7_840_016,
            ),
            PublishedFile(
                "t10k-labels-idx1-ubyte",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                10_008,
            ),
        ),
        torchvision="FashionMNIST/raw",
        packaged=("/usr/share/datasets/fashion-mnist",),
    ),
    "mnist": PublishedSet(
        "MNIST: 70,000 handwritten digits, 28 x 28 grey, 10 classes",
        "CC BY-SA 3.0, LeCun, Cortes, Burges",
        tuple("0123456789"),
        # The authors' own page no longer serves the files; this copy is torchvision's.
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        11_594_722,
        (
            PublishedFile(
                "train-images-idx3-ubyte",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                47_040_016,
            ),
            PublishedFile(
                "train-labels-idx1-ubyte",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                60_008,
            ),
            PublishedFile(
                "t10k-images-idx3-ubyte",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                7_840_016,
            ),
            PublishedFile(
                "t10k-labels-idx1-ubyte",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                10_008,
            ),
        ),
        torchvision="MNIST/raw",
    ),
    "emnist-balanced": PublishedSet(
        "EMNIST Balanced: 131,600 handwritten digits and letters, 28 x 28 grey, 47 classes",
        _EMNIST_LICENCE,
        emnist.SPLITS["balanced"].class_names,
        _EMNIST_URL,
        _EMNIST_ARCHIVE.size,
        (
            PublishedFile(
                "emnist-balanced-train-images-idx3-ubyte",
                "74295e75e4e9fa2c102147460ee7eb763653d5132d883a84fb88932bfb8d2db4",
                16 + 112_800 * 784,
            ),
            PublishedFile(
                "emnist-balanced-train-labels-idx1-ubyte",
                "b46d41e5156a0a8aaaa4d18979fdd1588850fa8571018acffd5d93b325a7d6ed",
                8 + 112_800,
            ),
            PublishedFile(
                "emnist-balanced-test-images-idx3-ubyte",
                "117fc12b015e37ea98bfb2cbba3f77c3782c056cdbd219b87abfc8661d7135db",
                16 + 18_800 * 784,
            ),
            PublishedFile(
                "emnist-balanced-test-labels-idx1-ubyte",
                "a67cac948379b67270b9a4d0a01c8ec661598accf2f2b1964340b7c83cb175cd",
                8 + 18_800,
            ),
        ),
        "EMNIST/raw",
        _EMNIST_ARCHIVE,
        packed_sums=True,
    ),
    "emnist-bymerge": PublishedSet(
        "EMNIST ByMerge: 814,255 handwritten digits and letters, 28 x 28 grey, 47 classes",
        _EMNIST_LICENCE,
        emnist.SPLITS["bymerge"].class_names,
        _EMNIST_URL,
        _EMNIST_ARCHIVE.size,
        (
            PublishedFile(
                "emnist-bymerge-train-images-idx3-ubyte",
                "39bf8c68037dad40db35348895f7e4e056e8c0a005ab78869c9fbc2c96e947be",
                16 + 697_932 * 784,
            ),
            PublishedFile(
                "emnist-bymerge-train-labels-idx1-ubyte",
                "2c47293b9e62d6abf6ad05fbf67e40baa32adfd380b8d7b44dcc35534b64e1f1",
                8 + 697_932,
            ),
            PublishedFile(
                "emnist-bymerge-test-images-idx3-ubyte",
                "5e5815ec1b522089134435f7c55e75a00960b58414793593ffff23efc0821683",
                16 + 116_323 * 784,
            ),
            PublishedFile(
                "emnist-bymerge-test-labels-idx1-ubyte",
                "8bda1516255683ba9071e141947ca0c91a911176065cdd6259b0b4d8dc5b5f35",
                8 + 116_323,
            ),
        ),
        "EMNIST/raw",
        _EMNIST_ARCHIVE,
        packed_sums=True,
    ),
}


def url_of(name: str, file: str) -> str:
    """Where a file of a published set is downloaded from. Raises `InputError` for an odd mirror."""
    published = SETS[name]
    mirror = os.environ.get("FUNCNN_MIRROR")
    if not mirror:
        return f"{published.url}/{file}"
    if not mirror.startswith(("http://", "https://")):
        raise InputError(f"FUNCNN_MIRROR {mirror}: must begin with http:// or https://")
    folder = published.archive.folder if published.archive else name
    return f"{mirror.rstrip('/')}/{folder}/{file}"
