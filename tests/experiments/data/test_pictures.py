"""Pictures of one's own, as the training pictures are: inverted, cropped, in their place."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from funcnn.experiments.data.datasets import Normalization, load_dataset
from funcnn.experiments.data.formats.listings import DiskFolder
from funcnn.experiments.data.pictures import Framing, Picture, framing, prepare, read_picture
from funcnn.experiments.errors import InputError

SHAPE = (1, 28, 28)
WRITING, THINGS, VIEWS = Framing("writing", 20 / 28), Framing("things"), Framing("views")
DIGITS = tuple("0123456789")


def grey(pixels):
    """A grey picture, opaque."""
    return Picture("it.png", np.repeat(np.asarray(pixels, np.uint8)[:, :, None], 3, 2), False)


def drawn(*, ink=0, paper=255, size=(300, 200), line=((60, 40), (110, 40), (80, 160)), width=12):
    """A seven, small and away from the middle."""
    image = Image.new("L", size, paper)
    ImageDraw.Draw(image).line(line, fill=ink, width=width, joint="curve")
    return np.asarray(image)


def shaded(pixels, noise=3.0):
    """As a photograph of it by a lamp on one side: down to two fifths of the light at the other."""
    height, width = pixels.shape
    y, x = np.mgrid[0:height, 0:width]
    light = 0.4 + 0.6 * np.exp(-(((x / width - 0.8) ** 2) + (y / height - 0.2) ** 2) / 0.7)
    scattered = np.random.default_rng(0).normal(0, noise, pixels.shape)
    return np.clip(pixels * light + scattered, 0, 255)


def mass(pixels):
    """Where its centre of mass is, from its middle."""
    y, x = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]]
    middle = np.array([(pixels.shape[0] - 1) / 2, (pixels.shape[1] - 1) / 2])
    return np.array([(y * pixels).sum(), (x * pixels).sum()]) / pixels.sum() - middle


def frame(pixels):
    """The first and last row and column with anything in them."""
    return [int(end) for axis in (1, 0) for end in np.flatnonzero(pixels.any(axis))[[0, -1]]]


# --- writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pixels",
    [
        drawn(),
        drawn(ink=255, paper=0),
        drawn(ink=60, paper=110),
        drawn(ink=200, paper=90),
        shaded(drawn(ink=40, paper=220)),
        drawn(size=(900, 1500)),
    ],
    ids=["dark on light", "light on dark", "faint", "faint chalk", "uneven light", "large"],
)
def test_writing_is_light_on_dark_in_mnists_frame_with_its_mass_in_the_middle(pixels):
    made = prepare(grey(pixels), SHAPE, WRITING)[0]
    assert (made.shape, made.dtype) == ((28, 28), np.uint8)
    top, bottom, left, right = frame(made > 60)
    assert bottom - top + 1 == 20, "its longer side"
    assert 6 <= right - left + 1 <= 14, "its aspect is kept"
    assert np.abs(mass(made)).max() <= 0.75
    assert np.median(made) == 0
    assert made.max() > 240


def test_the_same_drawing_is_the_same_input_however_it_is_lit():
    plain = prepare(grey(drawn()), SHAPE, WRITING).astype(float)
    for other in (drawn(ink=255, paper=0), shaded(drawn(ink=30, paper=230))):
        again = prepare(grey(other), SHAPE, WRITING).astype(float)
        assert np.abs(plain - again).mean() < 5


def test_thin_strokes_become_as_thick_as_those_that_were_learned():
    thin = prepare(grey(drawn(width=2)), SHAPE, WRITING)
    assert thin.mean() > 0.6 * prepare(grey(drawn(width=12)), SHAPE, WRITING).mean()


def test_dust_is_no_writing():
    clean, dusty = drawn(), drawn().copy()
    dusty[150:154, 250:254] = 0
    np.testing.assert_array_equal(
        prepare(grey(dusty), SHAPE, WRITING), prepare(grey(clean), SHAPE, WRITING)
    )


def test_the_dot_of_an_i_belongs_to_it():
    pixels = drawn(line=((60, 60), (60, 160)))
    dotted = pixels.copy()
    dotted[25:40, 53:68] = 0
    made = prepare(grey(dotted), SHAPE, WRITING)[0]
    rows = (made > 60).any(1)
    assert 0 < (~rows[frame(made)[0] : frame(made)[1]]).sum() < 6, "a gap, and something above it"


def test_rendered_test_digits_become_nearly_what_they_were():
    images, _ = load_dataset("mnist", val_size=0, seed=0).test
    for digit in images[:10, 0]:
        large = Image.fromarray(255 - digit).resize((196, 196), Image.Resampling.BICUBIC)
        sheet = np.full((300, 400), 255, np.uint8)
        sheet[20:216, 150:346] = np.asarray(large)
        made = prepare(grey(shaded(sheet, 2.0)), SHAPE, WRITING)[0].astype(float)
        shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        moved = [np.roll(made, shift, (0, 1)).ravel() for shift in shifts]
        assert max(np.corrcoef(each, digit.ravel())[0, 1] for each in moved) > 0.85


# --- things, and what is neither --------------------------------------------------------------


@pytest.mark.parametrize(("ground", "cloth"), [(250, 100), (20, 160)])
def test_things_fill_the_picture_and_keep_their_shades(ground, cloth):
    pixels = np.full((300, 400), ground, np.uint8)
    pixels[60:260, 150:250] = cloth
    pixels[60:260, 150:200] = (cloth + ground) // 2  # half as far from the ground
    made = prepare(grey(pixels), SHAPE, THINGS)[0]
    assert frame(made) == [0, 27, 7, 20]
    assert made[:, 7:13].mean() == pytest.approx(made[:, 15:21].mean() / 2, rel=0.1)
    assert made[:, 15:21].min() > 240


def test_a_view_is_fitted_whole_and_as_it_is():
    pixels = np.full((60, 120), 200, np.uint8)
    pixels[10:50, 30:90] = 90
    made = prepare(grey(pixels), SHAPE, VIEWS)[0]
    assert made[[0, -1]].tolist() == [[200] * 28] * 2
    assert made[10:18, 10:18] == pytest.approx(90, abs=2)


def test_a_model_of_colours_gets_colours():
    pixels = np.zeros((64, 32, 3), np.uint8)
    pixels[..., 0], pixels[20:40, 10:20, 2] = 200, 250
    made = prepare(Picture("it.png", pixels, False), (3, 16, 16), WRITING)
    assert made.shape == (3, 16, 16)
    assert made[:, 0, 0].tolist() == [200, 0, 0], "at its sides, the colour of its border"
    assert made[:, 7, 7].tolist() == [200, 0, pytest.approx(250, abs=5)]


@pytest.mark.parametrize("kind", [WRITING, THINGS, VIEWS])
def test_a_picture_of_the_models_own_size_is_taken_as_it_is(kind):
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    np.testing.assert_array_equal(prepare(grey(pixels), SHAPE, kind)[0], pixels)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((50, 60), 255),
        np.zeros((1, 1)),
        shaded(np.full((200, 300), 220), 4.0),
        np.random.default_rng(0).integers(0, 256, (90, 90)),
    ],
    ids=["white", "one pixel", "paper", "noise"],
)
@pytest.mark.parametrize("kind", [WRITING, THINGS])
def test_a_picture_of_nothing_says_so(pixels, kind):
    with pytest.raises(InputError, match=r"^it\.png shows nothing that stands out"):
        prepare(grey(pixels), SHAPE, kind)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 32, 20), (1, 1, 1), (1, 64, 64)])
@pytest.mark.parametrize("kind", [WRITING, THINGS, VIEWS])
@pytest.mark.parametrize("size", [(300, 200), (9, 7), (400, 3)])
def test_any_size_becomes_any_shape(shape, kind, size):
    pixels = np.full(size, 255)
    pixels[size[0] // 3 : 1 + size[0] // 2, size[1] // 3 : 1 + size[1] // 2] = 0
    made = prepare(grey(pixels), shape, kind)
    assert (made.shape, made.dtype) == (shape, np.uint8)
    assert made.any()


# --- which of them, by what the model was trained on ------------------------------------------


@pytest.mark.parametrize(
    ("normalization", "names", "kind"),
    [
        ((255, 0.1307, 0.3081), DIGITS, "writing"),
        ((1, 33.3, 78.6), ("zero", "one"), "writing"),
        ((255, 0.1737, 0.33), tuple("0Aa"), "writing"),
        ((255, 0.286, 0.353), DIGITS, "things"),
        ((255, 0.47, 0.2), ("cat", "dog"), "views"),
        ((255, 0.87, 0.31), DIGITS, "views"),
        ((255, 0, 1), DIGITS, "writing"),
        ((255, 0.5, 0.5), DIGITS, "writing"),
        ((1, 0, 255), ("Coat", "Bag"), "things"),
        ((255, 0.5, 0.5), ("Coat", "Bag"), "things"),
    ],
)
def test_the_mean_of_the_training_pixels_says_how_they_lie(normalization, names, kind):
    assert framing(Normalization(*map(float, normalization)), names).kind == kind


def test_the_frame_of_writing_grows_with_the_root_of_its_ink():
    def side(mean):
        return 28 * framing(Normalization(255.0, mean, 0.3), DIGITS).share

    assert side(0.1307) == side(0.05) == side(0.0) == pytest.approx(20)
    assert side(0.1737) == pytest.approx(20 * (0.1737 / 0.1307) ** 0.5)
    assert side(0.2199) < 28


# --- files ------------------------------------------------------------------------------------


def read(tmp_path, image, name="it.png", **settings):
    image.save(tmp_path / name, **settings)
    return read_picture(DiskFolder(tmp_path), name, SHAPE)


def test_what_is_transparent_is_on_white(tmp_path):
    image = Image.new("RGBA", (50, 40), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (20, 10, 30, 30))
    for mode in ("RGBA", "LA"):
        picture = read(tmp_path, image.convert(mode))
        assert picture.seen_through
        assert (picture.grey[0, 0], picture.grey[20, 25]) == (255, 0)
    small = Picture("it.png", np.full((28, 28, 3), 255, np.uint8), True)
    with pytest.raises(InputError, match="shows nothing"):
        prepare(small, SHAPE, WRITING)  # of the model's size, but made for no ground


@pytest.mark.parametrize(("most", "shade"), [(65535, 128), (4095, 128)])
def test_sixteen_bits_become_eight_and_so_do_twelve_of_them(tmp_path, most, shade):
    deep = np.zeros((30, 30), np.uint16)
    deep[10:20], deep[20:] = most // 2, most
    picture = read(tmp_path, Image.fromarray(deep))
    assert picture.grey[[0, 15, 25], 0].tolist() == [0, pytest.approx(shade, abs=1), 255]


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "RGB", "L"])
def test_every_kind_of_colour_is_read(tmp_path, mode):
    image = Image.fromarray(drawn()).convert(mode)
    picture = read(tmp_path, image, "it.jpg" if mode == "CMYK" else "it.png")
    assert prepare(picture, SHAPE, WRITING).mean() > 10


def test_a_photograph_is_turned_as_its_orientation_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned = Image.fromarray(drawn()).transpose(Image.Transpose.ROTATE_90)
    picture = read(tmp_path, turned, "it.jpg", exif=exif, quality=95)
    upright = prepare(grey(drawn()), SHAPE, WRITING).astype(float)
    assert picture.grey.shape == (200, 300)
    assert np.abs(prepare(picture, SHAPE, WRITING) - upright).mean() < 5


def test_a_huge_picture_is_worked_with_in_little(tmp_path):
    picture = read(tmp_path, Image.fromarray(drawn(size=(4000, 3000), width=300)))
    assert max(picture.pixels.shape) == 400


def moving(path):
    frames = [Image.new("L", (9, 9), shade) for shade in (0, 90, 200)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def cut(path):
    whole = io.BytesIO()
    Image.fromarray(drawn()).save(whole, "PNG")
    path.write_bytes(whole.getvalue()[:300])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (moving, "has 3 pictures in it; one is needed"),
        (cut, "cannot be read as a picture: "),
        (lambda path: path.write_bytes(b""), "it is no PNG, JPEG, BMP, GIF, WebP or PGM"),
        (lambda path: path.write_bytes(b"%PDF-1.7"), "it is no PNG, JPEG, BMP, GIF, WebP or PGM"),
        (lambda path: path.write_bytes(b"P5 100000 100000 255\n"), "exceeds limit"),
        (lambda path: path.write_bytes(b"P5 9000 9000 255\n12"), "cannot be read as a picture: "),
    ],
    ids=["moving", "cut", "empty", "another form", "claims too much", "claims more than it has"],
)
def test_what_is_no_picture_is_one_line(tmp_path, make, said):
    make(tmp_path / "it.png")
    with pytest.raises(InputError) as caught:
        read_picture(DiskFolder(tmp_path), "it.png", SHAPE)
    assert str(caught.value).startswith(f"{tmp_path}/it.png ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
