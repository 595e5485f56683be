"""Records of a run: nothing is lost but the line in hand."""

import json
import multiprocessing
import os
import signal

import pytest
import torch

from captum_cluster.evaluation.running.records import Records, encode_sums, read_records

try:
    import resource
except ImportError:  # Windows has neither limits nor fork
    resource = None


def record(number, size=0):
    """A record, with some padding."""
    return {"image": number, "values": [0.1, None, True], "padding": "x" * size}


def write(folder, numbers, rank=0, size=0):
    with Records(folder, rank) as records:
        for number in numbers:
            records.append(record(number, size))


def numbers(folder):
    return [found["image"] for found in read_records(folder)]


def test_what_is_appended_is_read(tmp_path):
    nested = {"name": "ä <b>\n", "sums": {"pairs": 2, "at": [1, 5]}, "low": 1e-300, "none": None}
    with Records(tmp_path) as records:
        records.append(nested)
        records.append({})
    assert list(read_records(tmp_path)) == [nested, {}]
    assert (tmp_path / "records-0.jsonl").read_bytes().count(b"\n") == 2


def test_numbers_come_back_to_the_last_bit(tmp_path):
    values = [0.1 + 0.2, 1 / 3, 2.0**-1074, 1.7976931348623157e308, -0.0, 2**53 + 1]
    with Records(tmp_path) as records:
        records.append({"values": values})
    [found] = read_records(tmp_path)
    assert [repr(value) for value in found["values"]] == [repr(value) for value in values]


def test_a_record_can_be_read_at_once(tmp_path):
    with Records(tmp_path) as records:
        for number in range(3):
            records.append(record(number))
            assert numbers(tmp_path) == list(range(number + 1))


def test_opened_again_it_goes_on_at_the_end(tmp_path):
    write(tmp_path, [0, 1])
    write(tmp_path, [])
    write(tmp_path, [2])
    assert numbers(tmp_path) == [0, 1, 2]


def test_each_process_has_a_file_and_all_are_read(tmp_path):
    write(tmp_path, [0, 2], rank=0)
    write(tmp_path, [1, 3], rank=1)
    write(tmp_path, [4], rank=10)
    (tmp_path / "report.json").write_text("no record")
    (tmp_path / "other.jsonl").write_text("no record\n")
    assert sorted(numbers(tmp_path)) == [0, 1, 2, 3, 4]
    assert {path.name for path in tmp_path.glob("records-*")} == {
        "records-0.jsonl",
        "records-1.jsonl",
        "records-10.jsonl",
    }


def test_an_empty_directory_has_no_records(tmp_path):
    assert list(read_records(tmp_path)) == []


def test_records_are_read_one_at_a_time(tmp_path):
    write(tmp_path, [0])
    with (tmp_path / "records-0.jsonl").open("a") as file:
        file.write("broken\n")
    found = read_records(tmp_path)
    assert next(found)["image"] == 0  # the line behind it has not been looked at
    with pytest.raises(ValueError, match="line 2"):
        next(found)


# Half a line


@pytest.mark.parametrize("half", [b'{"ima', b"{", b'{"image": 9}', b"\x00" * 50, b'"\xc3'])
@pytest.mark.parametrize("whole", [0, 1, 3])
def test_half_a_line_is_left_out_and_then_cut_off(tmp_path, half, whole):
    write(tmp_path, range(whole))
    path = tmp_path / "records-0.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + half)
    assert numbers(tmp_path) == list(range(whole))
    with Records(tmp_path) as records:
        assert path.read_bytes() == before
        records.append(record(7))
    assert numbers(tmp_path) == [*range(whole), 7]


CHUNK = 65536


@pytest.mark.parametrize("length", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
@pytest.mark.parametrize("whole", [0, 2])
def test_half_a_line_may_be_long(tmp_path, length, whole):
    """Longer than what is looked at in one step, the newline on either side of its border."""
    write(tmp_path, range(whole))
    path = tmp_path / "records-0.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + b"x" * length)
    with Records(tmp_path):
        assert path.read_bytes() == before


def test_long_whole_lines_are_kept(tmp_path):
    write(tmp_path, range(3), size=CHUNK)
    write(tmp_path, [3], size=CHUNK)
    assert numbers(tmp_path) == [0, 1, 2, 3]


def test_an_empty_file_stays_empty(tmp_path):
    path = tmp_path / "records-0.jsonl"
    path.touch()
    assert list(read_records(tmp_path)) == []
    with Records(tmp_path):
        assert path.read_bytes() == b""


def test_only_the_own_file_is_cut(tmp_path):
    other = tmp_path / "records-1.jsonl"
    other.write_bytes(b'{"image": 1}\n{"ima')  # its process may be writing
    write(tmp_path, [0])
    assert other.read_bytes().endswith(b'{"ima')
    assert numbers(tmp_path) == [0, 1]


# Damage


@pytest.mark.parametrize("line", ["broken", "", "[1]", "3", '{"image": 1} {"image": 2}', "\udcff"])
def test_a_broken_line_in_the_middle_is_an_error(tmp_path, line):
    write(tmp_path, [0])
    path = tmp_path / "records-0.jsonl"
    damaged = line.encode(errors="surrogateescape")
    path.write_bytes(path.read_bytes() + damaged + b"\n" + json.dumps(record(2)).encode() + b"\n")
    with pytest.raises(ValueError, match="line 2") as raised:
        list(read_records(tmp_path))
    got = repr(damaged + b"\n")
    assert str(raised.value) == f"Expected {path} to hold one record in line 2, but got {got}."


def test_a_long_broken_line_is_cut_in_the_message(tmp_path):
    (tmp_path / "records-0.jsonl").write_bytes(b"y" * 1000 + b"\n")
    with pytest.raises(ValueError, match="y{40}'") as raised:
        list(read_records(tmp_path))
    assert "y" * 41 not in str(raised.value)


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        Records(tmp_path / "absent")


def test_what_json_cannot_hold_is_not_half_written(tmp_path):
    with Records(tmp_path) as records:
        with pytest.raises(TypeError):
            records.append({"value": object()})
        records.append(record(1))
    assert numbers(tmp_path) == [1]


# A process that is killed, a disk that is full

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process to break")


def child(task, folder):
    """Run a task in a process of its own; return its exit code."""
    process = multiprocessing.get_context("fork").Process(target=task, args=(folder,))
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def killed(folder):
    with Records(folder) as records:
        for number in range(1000):
            records.append(record(number, 500))
            if number == 20:
                os.kill(os.getpid(), signal.SIGKILL)


def full(folder):
    """Write where a file takes 2000 bytes, and leave the message beside it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    written = 0
    try:
        with Records(folder) as records:
            for number in range(1000):
                records.append(record(number, 500))
                written += 1
    except OSError as error:
        (folder / "message.txt").write_text(f"{written} {error}")


@needs_fork
def test_a_killed_process_loses_nothing_that_was_appended(tmp_path):
    assert child(killed, tmp_path) == -signal.SIGKILL
    assert numbers(tmp_path) == list(range(21))


@needs_fork
def test_a_full_disk_is_a_clear_error_and_keeps_what_was_written(tmp_path):
    assert child(full, tmp_path) == 0
    count, _, message = (tmp_path / "message.txt").read_text().partition(" ")
    path = tmp_path / "records-0.jsonl"
    assert message == (
        f"Expected {path} to take the next result; those before it are kept, the same run goes on "
        "there, but got File too large."
    )
    whole = len(json.dumps(record(0, 500), separators=(",", ":"))) - len(
        ',"values":[0.1,null,true]'
    )
    assert int(count) == 2000 // (whole + 1) == 3
    assert path.stat().st_size == 2000  # half of the fourth
    assert numbers(tmp_path) == [0, 1, 2]
    write(tmp_path, [3])  # where there is room again
    assert numbers(tmp_path) == [0, 1, 2, 3]


def test_two_runs_at_once_are_refused(tmp_path):
    with Records(tmp_path, 0) as records:
        records.append({"image": 1})
        with pytest.raises(ValueError, match="where another run is writing"):
            Records(tmp_path, 0)
        with Records(tmp_path, 1) as other:
            other.append({"image": 2})
        records.append({"image": 3})
    with Records(tmp_path, 0) as records:
        records.append({"image": 4})
    assert [record["image"] for record in read_records(tmp_path)] == [1, 3, 4, 2]


def test_sums_are_kept_short():
    sums = {"big": torch.zeros(1000, dtype=torch.int64), "none": torch.zeros(3)}
    sums["big"][[7, 999]] = torch.tensor([5, 2])
    assert encode_sums(sums) == {
        "big": {"size": 1000, "at": [7, 999], "values": [5, 2]},
        "none": {"size": 3, "at": [], "values": []},
    }
