from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from captum_cluster.data import load_image
from captum_cluster.data.listing import (
    SUFFIXES,
    existing_file,
    existing_folder,
    image_files,
    some_images,
    unique_names,
)
from tests.helpers.trees import write_picture, write_text


def test_pictures_are_found_in_all_folders_in_one_order(tmp_path):
    for name in ("b/2.png", "b/10.JPEG", "a.TIF", "B/1.jpg", "b/c/d/1.webp"):
        write_picture(tmp_path / name)
    for name in ("b/notes.txt", "b/.hidden.png", "list"):
        write_text(tmp_path / name, "no picture")
    names = [file.relative_to(tmp_path).as_posix() for file in image_files(tmp_path)]
    assert names == ["B/1.jpg", "a.TIF", "b/10.JPEG", "b/2.png", "b/c/d/1.webp"]
    assert some_images("root", tmp_path) == image_files(tmp_path)


def test_the_suffixes_are_those_that_pillow_reads_and_all_that_torchvision_takes():
    Image.init()
    read = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    assert set(IMG_EXTENSIONS) < SUFFIXES <= read


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_a_picture_of_each_suffix_is_found_and_read(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(pixels).save(path)
    assert image_files(tmp_path) == [path]
    found = np.asarray(load_image(path))
    lossy = suffix in (".jpg", ".jpeg", ".webp")
    assert np.abs(found.astype(int) - pixels[..., None]).max() <= (8 if lossy else 0)


def test_linked_folders_are_entered(tmp_path):
    write_picture(tmp_path / "there" / "1.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "cat").symlink_to(tmp_path / "there")
    assert image_files(tmp_path / "root") == [tmp_path / "root" / "cat" / "1.png"]


def test_names_keep_the_suffix_only_where_two_would_be_the_same():
    files = [Path("r/a.png"), Path("r/a.jpg"), Path("r/x/a.jpg"), Path("r/b.c.png")]
    assert unique_names(files, Path("r")) == ["a.png", "a.jpg", "x/a", "b.c"]


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match=r"root to be a folder with pictures \(\.bmp, .*without"):
        some_images("root", tmp_path)


def test_folders_and_files_that_are_not_there(tmp_path):
    file = write_text(tmp_path / "a.txt", "a")
    assert existing_folder("root", str(tmp_path)) == tmp_path
    assert existing_file("boxes", str(file)) == file
    with pytest.raises(FileNotFoundError, match=r"root to be an existing folder, but got '.*/no'"):
        existing_folder("root", tmp_path / "no")
    with pytest.raises(NotADirectoryError, match=r"root to be a folder, but got the file '.*a.txt"):
        existing_folder("root", file)
    with pytest.raises(TypeError, match="root to be the path of a folder, but got 3"):
        existing_folder("root", 3)
    with pytest.raises(FileNotFoundError, match=r"boxes to be an existing file, but got '.*/no'"):
        existing_file("boxes", tmp_path / "no")
    with pytest.raises(IsADirectoryError, match=r"boxes to be a file, but got the folder '"):
        existing_file("boxes", tmp_path)
    with pytest.raises(TypeError, match="boxes to be the path of a file, but got None"):
        existing_file("boxes", None)
