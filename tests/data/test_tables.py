import pytest

from captum_cluster.data.tables import read_table
from tests.helpers.trees import write_text


def test_rows_know_their_line(tmp_path):
    text = 'a,b\n1, x \n\n"2,5","two\nlines"\n3,y\n'
    rows = list(read_table(write_text(tmp_path / "t.csv", text), ["a", "b"]))
    assert [(row["a"], row["b"]) for row in rows] == [("1", "x"), ("2,5", "two\nlines"), ("3", "y")]
    # A row is where its last line is.
    assert [row.line for row in rows] == [2, 5, 6]
    assert rows[0].place == f"'{tmp_path / 't.csv'}', line 2"


def test_marks_of_byte_order_and_further_columns_do_no_harm(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfb,more,a\r\n1,2,3,4\r\n")
    (row,) = read_table(path, ["a", "b"])
    assert (row["a"], row["b"]) == ("3", "1")


@pytest.mark.parametrize("text", ["", "a,c\n1,2\n"])
def test_a_column_that_is_missing(tmp_path, text):
    path = write_text(tmp_path / "t.csv", text)
    with pytest.raises(ValueError, match=r"the columns a, b, but got '.*t\.csv' without .*b\."):
        list(read_table(path, ["a", "b"]))


def test_a_row_that_is_too_short(tmp_path):
    path = write_text(tmp_path / "t.csv", "a,b\n1,2\n3\n")
    message = r"each row to have 2 cells \(a, b\), but got fewer in '.*t\.csv', line 3"
    with pytest.raises(ValueError, match=message):
        list(read_table(path, ["a", "b"]))


def test_no_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n\xff\xfe\x00,1\n")
    with pytest.raises(ValueError, match=r"the table to be a CSV file in UTF-8, but got '.*t\.csv"):
        list(read_table(path, ["a", "b"]))


def test_numbers(tmp_path):
    path = write_text(tmp_path / "t.csv", "a,b\n7,-1.5e1\n")
    (row,) = read_table(path, ["a", "b"])
    assert row.integer("a") == row.integer("a", 7) == 7
    assert row.number("b") == -15.0
    with pytest.raises(ValueError, match=r"a to be an integer from 0 to 6, but got '7' \(.*line 2"):
        row.integer("a", 6)
    with pytest.raises(ValueError, match="b to be an integer of at least 0, but got '-1.5e1'"):
        row.integer("b")


@pytest.mark.parametrize("text", ["", "x", "nan", "inf"])
def test_no_numbers(tmp_path, text):
    (row,) = read_table(write_text(tmp_path / "t.csv", f"a,b\n{text},0\n"), ["a", "b"])
    with pytest.raises(ValueError, match=rf"a to be a finite number, but got '{text}' \(.*line 2"):
        row.number("a")
