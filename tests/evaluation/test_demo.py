"""The demo on a network trained for a moment."""

import pytest
from PIL import Image

from captum_cluster.evaluation import demo, digit_classifier
from captum_cluster.evaluation.demo import run_demo


@pytest.fixture
def quick(monkeypatch, tmp_path):
    monkeypatch.setenv("CAPTUM_CLUSTER_CACHE", str(tmp_path / "cache"))
    train = digit_classifier.train_digit_net
    monkeypatch.setattr(
        digit_classifier,
        "train_digit_net",
        lambda progress: train(scenes=64, epochs=1, progress=progress),
    )
    monkeypatch.setattr(demo, "_TEST_SCENES", 40)


def test_demo_measures_and_draws(quick, tmp_path):
    said = []
    report = run_demo(tmp_path / "out", scenes=8, progress=False, say=said.append)
    assert report.trained
    assert list(report.rows) == ["grad-cam", "score-cam", "cluster-cam"]
    assert [report.rows[name][0] for name in ("grad-cam", "cluster-cam")] == [1, 7]
    assert 1 < report.rows["score-cam"][0] <= 65
    assert all(0 <= share <= 1 and seconds > 0 for _, seconds, share in report.rows.values())
    assert 0 < report.average_precision < 1
    assert Image.open(report.figure).size[0] > 500
    assert "trained now" in said[0]
    lines = report.table().splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    again = run_demo(tmp_path / "out", scenes=8, progress=False)
    assert not again.trained
    assert {name: row[2] for name, row in again.rows.items()} == {
        name: row[2] for name, row in report.rows.items()
    }


def test_bad_arguments(quick, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="Expected output to be a directory"):
        run_demo(tmp_path / "file")
    with pytest.raises(ValueError, match="Expected scenes to be an integer of at least 4"):
        run_demo(tmp_path, scenes=3)
