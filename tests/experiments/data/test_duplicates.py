"""Images that are in a data set twice: found by all pairs, and counted by part and label."""

import numpy as np
import pytest
from image_files import write_idx
from PIL import Image

from funcnn.experiments.data import duplicates
from funcnn.experiments.data.duplicates import NEAR, find_duplicates, find_twins
from funcnn.experiments.errors import InputError

GENERATOR = np.random.default_rng(0)


def images_of(count, size, smooth=False):
    """Random images, all far from each other; smooth: with large light and dark areas."""
    height, width = size
    coarse = (count, 1, -(-height // 4), -(-width // 4)) if smooth else (count, 1, height, width)
    images = GENERATOR.integers(20, 230, coarse)
    if smooth:
        images = images.repeat(4, 2).repeat(4, 3)[:, :, :height, :width]
    return images.astype("u1")


def noisy(images, most):
    return (images + GENERATOR.integers(-most, most + 1, images.shape)).astype("u1")


def by_all_pairs(images, sizes, near):
    """Index, distance and exactness by the definition, one pair after the other, in float64."""
    x = images.reshape(len(images), -1).astype(float)
    x -= x.mean(axis=1, keepdims=True)
    part_of = np.repeat(np.arange(len(sizes)), sizes)
    index = np.full((len(x), len(sizes)), -1)
    distance, exact = np.full(index.shape, np.inf), np.zeros(index.shape, bool)
    for later in range(len(x)):
        for earlier in range(later):
            at = later, part_of[earlier]
            if exact[at]:
                continue
            larger = max(np.linalg.norm(x[later]), np.linalg.norm(x[earlier]))
            far = np.linalg.norm(x[later] - x[earlier]) / larger if larger else np.inf
            if (images[later] == images[earlier]).all():
                index[at], distance[at], exact[at] = earlier, 0, True
            elif far < near and far < distance[at] - 1e-12:
                index[at], distance[at] = earlier, far
    return index, distance, exact


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (5, 3), (1, 1), (40, 30)], ids=str)
@pytest.mark.parametrize("smooth", [False, True], ids=["noise", "smooth"])
def test_it_finds_what_a_comparison_of_all_pairs_finds(size, smooth, monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK_BYTES", 0)  # blocks of 64 images
    images = images_of(150, size, smooth)
    images[60:90] = images[:30]
    images[90:120] = noisy(images[:30], 3)  # near
    images[120:140] = noisy(images[10:30], 10)  # some near, some not
    images[140:143] = 17
    images[143:145] = 18
    sizes = [70, 25, 55]
    twins = find_twins(images, sizes)
    index, distance, exact = by_all_pairs(images, sizes, NEAR)
    np.testing.assert_array_equal(twins.nearest, index)
    np.testing.assert_array_equal(twins.exact, exact)
    np.testing.assert_allclose(twins.distance, distance, rtol=1e-9, atol=1e-12)
    if size != (1, 1):
        assert 20 < (~exact & (index >= 0)).sum() < index.size
        assert exact.sum() > 20


def test_distances_just_below_the_threshold_count_and_those_at_it_do_not():
    one, other = np.zeros((2, 1, 10, 10), "u1")
    one[0, :5], other[0, :5] = 100, 100
    other[0, 0, 0] = 0  # |a - b|^2 = 100^2 0.99, |a|^2 = 100^2 25, about the means
    distance = np.sqrt(0.99 / 25)
    pair = np.stack([one, other])
    assert find_twins(pair, [1, 1], near=distance * (1 + 1e-6)).nearest[1, 0] == 0
    assert find_twins(pair, [1, 1], near=distance * (1 - 1e-6)).nearest[1, 0] == -1
    assert find_twins(pair, [1, 1], near=0.2).distance[1, 0] == pytest.approx(distance, rel=1e-12)


def test_the_nearest_counts_then_the_first_and_the_same_bytes_before_all():
    base = images_of(1, (12, 12))
    lighter = base + np.uint8(1)  # at no distance about the means, with other bytes
    order = [noisy(base, 5), lighter, lighter, base, noisy(base, 5), base]
    twins = find_twins(np.concatenate(order), [5, 1])
    assert twins.nearest[:, 0].tolist() == [-1, 0, 1, 1, 1, 3]
    assert twins.exact[:, 0].tolist() == [False, False, True, False, False, True]
    assert twins.distance[3, 0] == 0
    assert twins.nearest[5, 1] == -1  # not itself


def test_a_common_background_makes_no_pictures_alike_and_negatives_are_as_their_pictures():
    writing = np.zeros((2, 1, 16, 16), "u1")
    writing[0, 0, 3:12, 4], writing[1, 0, 8, 3:12] = 60, 60
    light = 255 - writing
    raw = light.astype(float)
    assert np.linalg.norm(raw[0] - raw[1]) / np.linalg.norm(raw[0]) < NEAR
    for images in (writing, light):
        assert (find_twins(images, [1, 1]).nearest == -1).all()
        other = images.copy()
        other[:, 0, 0, 0] ^= 5
        again = np.concatenate([images, other])
        assert find_twins(again, [2, 2]).nearest[2:, 0].tolist() == [0, 1]


def test_faint_pictures_are_told_apart_too():
    images = (GENERATOR.integers(0, 2, (40, 1, 28, 28)) + 253).astype("u1")
    images[20:] = images[:20]
    for number, image in enumerate(images[20:].reshape(20, -1)):
        image[:number] ^= 3
    twins = find_twins(images, [40])
    nearest, distance, exact = by_all_pairs(images, [40], NEAR)
    np.testing.assert_array_equal(twins.nearest, nearest)
    np.testing.assert_array_equal(twins.exact, exact)
    np.testing.assert_allclose(twins.distance, distance, rtol=1e-9)
    assert 0 < (nearest[20:] < 0).sum() < 19


def test_many_alike_are_found_too():
    images = noisy(np.repeat(images_of(1, (9, 9)), 500, axis=0), 2)
    twins = find_twins(images, [400, 100])
    assert (twins.nearest[1:, 0] >= 0).all()
    assert (twins.nearest[401:, 1] >= 400).all()


def test_one_image_has_no_twin():
    twins = find_twins(images_of(1, (4, 4)), [1])
    assert twins.nearest.tolist() == [[-1]]


# --- of a data set ---------------------------------------------------------------------------


@pytest.fixture
def planted(tmp_path):
    """Test 1 is train 4; test 2, of another label, and test 3 are nearly train 5; train twice."""
    train, test = images_of(8, (8, 8)), images_of(5, (8, 8))
    train[6] = train[0]
    test[1] = train[4]
    test[2:4] = noisy(train[[5, 5]], 3)
    arrays = {"x_train": train[:, 0], "y_train": np.arange(8) % 2, "x_test": test[:, 0]}
    arrays["y_test"] = np.array([0, 0, 0, 1, 1])
    return tmp_path / "set.npz", arrays


def test_a_set_is_searched_by_part_and_label(planted, tmp_path):
    path, arrays = planted
    np.savez(path, **arrays)
    found = find_duplicates(str(path), tmp_path / "it.png")
    assert found["name"] == str(path)
    assert found["input_shape"] == [1, 8, 8]
    assert (found["train"], found["test"], found["nearer_than"]) == (8, 5, NEAR)
    assert "validation" not in found
    kinds = found["found"]
    assert list(kinds) == ["test in train", "test in test", "train in train"]
    pair = {"index": 6, "twin": 0, "distance": 0, "label": "0", "twin_label": "0"}
    assert kinds["train in train"]["exact"] == {"images": 1, "other_label": 0, "pairs": [pair]}
    assert kinds["train in train"]["near"] == {"images": 0, "other_label": 0, "pairs": []}
    pair = {"index": 1, "twin": 4, "distance": 0, "label": "0", "twin_label": "0"}
    assert kinds["test in train"]["exact"] == {"images": 1, "other_label": 0, "pairs": [pair]}
    near = kinds["test in train"]["near"]
    assert (near["images"], near["other_label"]) == (2, 1)
    assert [(pair["index"], pair["twin"]) for pair in near["pairs"]] == [(2, 5), (3, 5)]
    assert [pair["label"] for pair in near["pairs"]] == ["0", "1"]
    assert {pair["twin_label"] for pair in near["pairs"]} == {"1"}
    assert all(0 < pair["distance"] < NEAR for pair in near["pairs"])
    assert [(p["index"], p["twin"]) for p in kinds["test in test"]["near"]["pairs"]] == [(3, 2)]
    assert found["picture"] == str(tmp_path / "it.png")
    with Image.open(tmp_path / "it.png") as picture:
        assert picture.format == "PNG"


def test_the_picture_has_a_row_for_each_pair(planted, tmp_path, monkeypatch):
    path, arrays = planted
    np.savez(path, **arrays)
    drawn = []
    monkeypatch.setattr(duplicates, "contact_sheet", lambda *given: drawn.append(given))
    find_duplicates(str(path), tmp_path / "it.png")
    ((out, rows, titles),) = drawn
    assert out == tmp_path / "it.png"
    expected = ["test 1, train 4", "test 2, train 5", "test 3, train 5", "test 3, test 2"]
    assert titles == (*expected, "train 6, train 0")
    for (one, other), title in zip(rows, titles, strict=True):
        for image, words in zip((one, other), title.split(", "), strict=True):
            part, index = words.split()
            np.testing.assert_array_equal(image, arrays[f"x_{part}"][int(index)])


def test_without_labels_of_the_test_set_none_is_another(tmp_path):
    table = np.column_stack([np.arange(6) % 2, images_of(6, (4, 4)).reshape(6, 16)])
    header = ",".join(["label", *(f"pixel{i}" for i in range(16))])
    np.savetxt(tmp_path / "train.csv", table, "%d", ",", header=header, comments="")
    header = header.removeprefix("label,")
    np.savetxt(tmp_path / "test.csv", table[2:4, 1:], "%d", ",", header=header, comments="")
    kinds = find_duplicates(str(tmp_path), tmp_path / "it.png")["found"]
    exact = kinds["test in train"]["exact"]
    assert (exact["images"], exact["other_label"]) == (2, None)
    assert [(pair["label"], pair["twin_label"]) for pair in exact["pairs"]] == [
        (None, "0"),
        (None, "1"),
    ]
    assert kinds["test in test"]["near"]["other_label"] is None
    assert kinds["train in train"]["exact"]["other_label"] == 0


def test_a_validation_set_that_the_data_bring_is_searched_too(tmp_path):
    pixels = images_of(6, (6, 6))[:, 0]
    for part, chosen in (("train", (0, 1, 2)), ("val", (2, 3)), ("test", (3, 4, 0))):
        for number, index in enumerate(chosen):
            folder = tmp_path / "set" / part / "ab"[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[index]).save(folder / f"{number}.png")
    kinds = find_duplicates(str(tmp_path / "set"), tmp_path / "it.png")["found"]
    assert list(kinds) == [
        *("test in train", "test in validation", "test in test"),
        *("validation in train", "validation in validation"),
        "train in train",
    ]
    found = {name: kind["exact"]["images"] for name, kind in kinds.items()}
    assert [name for name, images in found.items() if images] == [
        *("test in train", "test in validation", "validation in train"),
    ]
    assert set(found.values()) == {0, 1}


def test_where_nothing_is_twice_there_is_no_picture(tmp_path):
    write_idx(tmp_path / "one-images", images_of(1, (4, 4))[:, 0])
    found = find_duplicates(str(tmp_path / "one-images"), tmp_path / "new" / "it.png")
    assert found["test"] == 1
    assert found["found"] == {
        "test in test": {
            kind: {"images": 0, "other_label": None, "pairs": []} for kind in ("exact", "near")
        }
    }
    assert found["picture"] is None
    assert not (tmp_path / "new").exists()


def test_points_are_generated_and_a_place_is_asked_for_first(tmp_path):
    with pytest.raises(InputError, match=r"^points-xor is generated: it has no images$"):
        find_duplicates("points-xor", tmp_path / "it.png")
    with pytest.raises(InputError, match=r"^--out \S+ exists already"):
        find_duplicates("nowhere", tmp_path)
