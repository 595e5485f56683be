"""Every mode gives the RGB values worked out by hand; every bad file gives one clear message."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captum_cluster.data.images import load_image, load_index_mask

RED, GREEN = (255, 0, 0), (0, 255, 0)


def pixels(path: Path) -> list[list[int]]:
    image = load_image(path)
    assert image.mode == "RGB"
    return np.asarray(image).reshape(-1, 3).tolist()


def grey(values: list[int]) -> list[list[int]]:
    return [[value] * 3 for value in values]


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "colour", "shown"),
    [
        ("RGB", (10, 20, 30), [10, 20, 30]),
        ("L", 77, [77, 77, 77]),
        ("1", 1, [255, 255, 255]),
        # Transparency is dropped, not composited: the colour stored under it stays.
        ("LA", (77, 0), [77, 77, 77]),
        ("RGBA", (10, 20, 30, 0), [10, 20, 30]),
    ],
)
def test_mode_in_png(tmp_path: Path, mode: str, colour: object, shown: list[int]) -> None:
    path = save(Image.new(mode, (3, 2), colour), tmp_path / "a.png")
    assert pixels(path) == [shown] * 6


def test_cmyk(tmp_path: Path) -> None:
    path = save(Image.new("CMYK", (2, 2), (0, 255, 255, 0)), tmp_path / "a.tif")
    assert pixels(path) == [list(RED)] * 4


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80"])
def test_palette(tmp_path: Path, transparency: int | bytes | None) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    options = {} if transparency is None else {"transparency": transparency}
    path = save(image, tmp_path / "a.png", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(path) == [list(RED), list(GREEN)]


def test_16_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    path = save(Image.fromarray(values), tmp_path / "a.png")
    assert pixels(path) == grey([0, 1, 128, 255])


def test_16_bits_big_endian(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(big_endian_tiff([0, 514, 65535]))
    with Image.open(path) as image:
        assert image.mode == "I;16B"
    assert pixels(path) == grey([0, 2, 255])


def big_endian_tiff(values: list[int]) -> bytes:
    """One row of 16-bit grey, written by hand: Pillow writes only the machine's own order."""
    data = struct.pack(f">{len(values)}H", *values)
    tags = [(256, len(values)), (257, 1), (258, 16), (259, 1), (262, 1)]
    tags += [(273, 8), (277, 1), (278, 1), (279, len(data))]
    directory = struct.pack(">H", len(tags))
    for tag, value in tags:
        directory += struct.pack(">HHIHH", tag, 3, 1, value, 0)
    return b"MM\0*" + struct.pack(">I", 8 + len(data)) + data + directory + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 514, 65535], [0, 2, 255]),  # 16 bits kept in 32
        ([-100, 0, 155], [0, 100, 255]),  # beyond: min-max
        ([0, 100_000, 200_000], [0, 128, 255]),
        ([100_000, 100_000, 100_000], [0, 0, 0]),  # no contrast
    ],
)
def test_32_bit_integers(tmp_path: Path, values: list[int], shown: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.int32))
    assert image.mode == "I"
    assert pixels(save(image, tmp_path / "a.tif")) == grey(shown)


@pytest.mark.parametrize(
    ("values", "shown"), [([0.0, 0.2, 0.6], [0, 51, 153]), ([-1.0, 0.0, 4.0], [0, 51, 255])]
)
def test_floats(tmp_path: Path, values: list[float], shown: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert image.mode == "F"
    assert pixels(save(image, tmp_path / "a.tif")) == grey(shown)


def test_nan_in_floats(tmp_path: Path) -> None:
    path = save(Image.fromarray(np.array([[0, np.nan]], dtype=np.float32)), tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"readable image, but got .*a\.tif': NaN or infinite"):
        load_image(path)


def test_exif_orientation(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), GREEN)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    loaded = load_image(save(image, tmp_path / "a.png", exif=exif))
    assert loaded.size == (1, 2)
    assert [loaded.getpixel((0, 0)), loaded.getpixel((0, 1))] == [RED, GREEN]


def test_damaged_exif_is_ignored(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1), RED)
    path = save(image, tmp_path / "a.png", exif=b"Exif\0\0not a directory")
    assert load_image(path).size == (2, 1)


def test_result_outlives_the_file(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (2, 1), RED), tmp_path / "a.png")
    image = load_image(str(path))
    path.unlink()
    assert image.getpixel((1, 0)) == RED


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Expected image to be an existing file, but got"):
        load_image(tmp_path / "no.png")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=r"image to be a file, but got the directory '"):
        load_image(tmp_path)


def test_no_path() -> None:
    with pytest.raises(TypeError, match=r"image to be the path of a file, but got 3\."):
        load_image(3)  # type: ignore[arg-type]


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(ValueError, match=r"image to be an image, but got the empty file .*0 bytes"):
        load_image(path)


def test_no_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("hello")
    message = r"image to be an image in a format that Pillow reads, but got '.*a\.png'\."
    with pytest.raises(ValueError, match=message) as caught:
        load_image(path)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp"])
def test_truncated_image(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(Image.fromarray(noise), tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    # A TIFF's directory is at its end: without it the file is no image.
    with pytest.raises(ValueError, match=rf"Expected image to be an? .*image.*a\.{suffix}'") as got:
        load_image(path)
    assert got.value.__cause__ is not None


@pytest.mark.parametrize("limit", [90, 10])  # Pillow warns up to twice its limit, then raises
def test_larger_than_pillows_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    path = save(Image.new("L", (10, 10)), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    message = rf"MAX_IMAGE_PIXELS \({limit} pixels\), but got .*a\.png'.*\(100 pixels\)"
    with pytest.raises(ValueError, match=message):
        load_image(path)


def test_pillows_limit_can_be_lifted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(Image.new("L", (10, 10)), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert load_image(path).size == (10, 10)


def test_jpeg_in_memory_order_of_channels(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), RED).save(stream, "jpeg")
    path = tmp_path / "a.jpg"
    path.write_bytes(stream.getvalue())
    red, green, blue = pixels(path)[0]
    assert red > 250
    assert green < 5
    assert blue < 5


def test_stored_pixels_are_not_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(Image.new("RGB", (2, 1), RED), tmp_path / "a.png", exif=exif)
    assert load_image(path).size == (1, 2)
    assert load_image(path, upright=False).size == (2, 1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_index_masks_keep_their_numbers(tmp_path: Path, mode: str) -> None:
    numbers = np.array([[0, 1], [1, 0]]) if mode == "1" else np.array([[0, 7], [200, 255]])
    dtype = {"1": bool, "I;16": np.uint16}.get(mode, np.uint8)
    image = Image.fromarray(numbers.astype(dtype))
    if mode == "P":
        image.putpalette([9] * 768)
    path = save(image, tmp_path / "a.png")
    assert Image.open(path).mode == mode
    assert load_index_mask(path).tolist() == numbers.tolist()
    assert load_index_mask(path).dtype == np.int64


def test_index_masks_have_one_channel_of_integers(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (2, 2)), tmp_path / "a.png")
    message = r"a\.png': an index mask has one channel of integers, not mode RGB"
    with pytest.raises(ValueError, match=message):
        load_index_mask(path)
    path = save(Image.fromarray(np.zeros((2, 2), dtype=np.float32)), tmp_path / "a.tif")
    with pytest.raises(ValueError, match="not mode F"):
        load_index_mask(path)
