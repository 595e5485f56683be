"""Results are written whole or not at all."""

import os

import pytest

from captum_cluster.evaluation.output import check_directory, staged


def test_files_are_moved_into_a_directory_that_is_made(tmp_path):
    with staged(tmp_path / "a" / "b") as stage:
        (stage / "one.txt").write_text("1")
        assert not (tmp_path / "a" / "b" / "one.txt").exists()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["one.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(tmp_path, error):
    with pytest.raises(error), staged(tmp_path / "a" / "b") as stage:
        (stage / "one.txt").write_text("1")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_what_was_there(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), staged(tmp_path) as stage:
        (stage / "old.txt").write_text("new")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]
    assert (tmp_path / "old.txt").read_text() == "old"


def test_files_of_before_are_replaced(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    with staged(tmp_path) as stage:
        (stage / "old.txt").write_text("new")
    assert (tmp_path / "old.txt").read_text() == "new"


@pytest.mark.parametrize("tail", ["", "deeper/still"])
def test_a_file_in_the_way_is_named(tmp_path, tail):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(NotADirectoryError, match=r"Expected output to be a directory, .*file"):
        check_directory(file / tail if tail else file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="can be written to"):
        check_directory(tmp_path / "new")
    tmp_path.chmod(0o700)


def test_a_directory_in_the_place_of_a_file_stops_before_anything_is_moved(tmp_path):
    (tmp_path / "b.txt").mkdir()
    with (
        pytest.raises(IsADirectoryError, match=r"free for a file.*b\.txt"),
        staged(tmp_path) as stage,
    ):
        (stage / "a.txt").write_text("a")
        (stage / "b.txt").write_text("b")
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_what_is_no_path_and_a_link_to_nowhere(tmp_path):
    with pytest.raises(TypeError, match="Expected output to be the path of a directory"):
        check_directory(None)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="link"):
        check_directory(tmp_path / "link")
