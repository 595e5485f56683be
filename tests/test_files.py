"""Files that are written whole or not at all."""

import pytest

from captum_cluster._files import write_whole


def test_a_file_and_nothing_else_is_written(tmp_path):
    file = tmp_path / "a.txt"
    seen = []

    def write(draft):
        seen.append((draft.parent, draft.suffix, draft.name.startswith("."), file.exists()))
        draft.write_text("new")

    assert write_whole(file, write) == file
    assert file.read_text() == "new"
    assert seen == [(tmp_path, ".txt", True, False)]
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
def test_what_was_there_stays_where_writing_fails(tmp_path, error):
    file = tmp_path / "a.txt"
    file.write_text("old")

    def write(draft):
        draft.write_text("ha")
        raise error

    with pytest.raises(error):
        write_whole(file, write)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_has_the_rights_of_any_other(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    file = write_whole(tmp_path / "a", lambda draft: draft.write_text(""))
    assert file.stat().st_mode == plain.stat().st_mode


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "no" / "a.txt", lambda draft: draft.write_text(""))
