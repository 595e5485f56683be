"""Picture files as RGB images, whatever their mode."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from captum_cluster._checks import describe, expected

_Result = TypeVar("_Result")

_TOO_LARGE = (Image.DecompressionBombWarning, Image.DecompressionBombError)


def load_image(path: str | os.PathLike[str], *, upright: bool = True) -> Image.Image:
    """Return the picture in a file as an 8-bit RGB image, by default upright.

    Every mode becomes RGB. Where that needs a decision:

    * Transparency is dropped, not composited: a pixel keeps the colour stored under it, as in
      torchvision's default loader (``convert("RGB")``), so a model sees what it sees there.
    * 16-bit grey is scaled from [0, 65535] to [0, 255], not clipped. So is 32-bit grey whose
      values lie in that range; 32-bit grey beyond it is min-max scaled.
    * Float grey is scaled from [0, 1] to [0, 255] where its values lie in that range, and
      min-max scaled elsewhere.
    * EXIF orientation is applied. Of several frames the first is taken.

    Args:
        path: The file, in any format that Pillow reads.
        upright: Whether the EXIF orientation is applied. False gives the pixels as they are
            stored, which is what annotated boxes and masks refer to.

    Returns:
        A PIL image of mode "RGB", independent of the file.

    Raises:
        TypeError: ``path`` is neither a string nor a path.
        FileNotFoundError: There is no such file.
        IsADirectoryError: It is a directory.
        ValueError: It is empty, no image, truncated or otherwise unreadable, or larger than
            Pillow's limit ``PIL.Image.MAX_IMAGE_PIXELS``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("LA", (4, 2), (200, 0)).save(f"{folder}/grey.png")
        ...     image = load_image(f"{folder}/grey.png")
        >>> image.mode, image.size, image.getpixel((0, 0))
        ('RGB', (4, 2), (200, 200, 200))
    """
    return _opened(path, as_rgb if upright else _to_rgb)


def load_index_mask(path: str | os.PathLike[str]) -> NDArray[np.int64]:
    """Return the numbers (H,W) that a picture of one channel stores, not what they look like.

    Args:
        path: A grey or palette picture (PNG) of at most 16 bits.

    Raises:
        TypeError, FileNotFoundError, IsADirectoryError: As in ``load_image``.
        ValueError: As in ``load_image``; or the picture has more channels than one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.array([[0, 7]], dtype=np.uint8)).save(f"{folder}/mask.png")
        ...     load_index_mask(f"{folder}/mask.png")
        array([[0, 7]])
    """
    return _opened(path, _numbers)


def _opened(path: object, convert: Callable[[Image.Image], _Result]) -> _Result:
    """Return what ``convert`` makes of the file's picture; every error names the file."""
    file = _existing_file(path)
    try:
        return _read(file, convert)
    except MemoryError:
        raise
    except _TOO_LARGE as error:
        limit = f"a picture within PIL.Image.MAX_IMAGE_PIXELS ({Image.MAX_IMAGE_PIXELS} pixels)"
        raise ValueError(_message(limit, file, error)) from error
    except UnidentifiedImageError as error:
        what = "an image in a format that Pillow reads"
        raise ValueError(expected("image", what, repr(str(file)))) from error
    except Exception as error:  # Pillow's readers let almost anything out of a damaged file
        raise ValueError(_message("a complete and readable image", file, error)) from error


def _message(what: str, file: Path, error: Exception) -> str:
    """Return the message for a file, with the reader's own words as the reason."""
    reason = str(error).rstrip(".") or type(error).__name__
    return expected("image", what, f"{str(file)!r}: {reason}")


def _existing_file(path: object) -> Path:
    """Return ``path`` if it is a file that is not empty."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(expected("image", "the path of a file", describe(path)))
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(expected("image", "an existing file", repr(str(file))))
    if file.is_dir():
        raise IsADirectoryError(expected("image", "a file", f"the directory {str(file)!r}"))
    if file.stat().st_size == 0:
        raise ValueError(expected("image", "an image", f"the empty file {str(file)!r} (0 bytes)"))
    return file


def _read(file: Path, convert: Callable[[Image.Image], _Result]) -> _Result:
    """Return the file's picture, converted; raise whatever Pillow raises, its warning included."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file) as image:
            image.load()
            return convert(image)


def _numbers(image: Image.Image) -> NDArray[np.int64]:
    values = np.asarray(image)
    if values.ndim != 2 or values.dtype.kind not in "uib":
        raise ValueError(f"an index mask has one channel of integers, not mode {image.mode}")
    return values.astype(np.int64)


def as_rgb(image: Image.Image) -> Image.Image:
    """Return a PIL image as an upright 8-bit RGB image; see ``load_image`` for what is decided.

    Example:
        >>> grey = Image.fromarray(np.array([[0, 65535]], dtype=np.uint16))
        >>> as_rgb(grey).getpixel((1, 0))
        (255, 255, 255)
    """
    return _to_rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block says nothing of the orientation; the pixels are good
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in mode RGB; see ``load_image`` for what is decided here."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    elif image.mode in ("P", "PA"):
        # By way of RGBA: the direct way warns about transparency stored as bytes.
        image = image.convert("RGBA")
    return image.convert("RGB")


def _to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return grey values (H,W) of more than 8 bits as uint8 in [0, 255]."""
    grey = values.astype(np.float64)
    if not np.isfinite(grey).all():
        raise ValueError("NaN or infinite values")
    low, high = 0.0, 1.0 if values.dtype.kind == "f" else 65535.0
    if grey.min() < low or grey.max() > high:
        low, high = grey.min(), grey.max()
    # A flat image outside the usual range has no contrast to show: black.
    return np.rint((grey - low) * (255.0 / (high - low or 1.0))).astype(np.uint8)
