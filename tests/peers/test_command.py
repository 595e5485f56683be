"""The command on a made-up checkout: what it says of tests that pass, fail and are listed."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.peers import judging
from tests.peers.judging import judge
from tests.peers.named import Named
from tests.peers.one_method import Outcome

ROOT = Path(__file__).parents[2]

LISTED = [
    Named("tests/test_a.py::test_differs", ("cam",), r"^ValueError: .* rows", "another method"),
    Named("tests/test_a.py::test_slow", ("cam",), "", "not run: it takes days"),
]


@pytest.fixture
def listed(monkeypatch):
    monkeypatch.setattr(judging, "NAMED", LISTED)
    monkeypatch.setattr(judging, "EMPTY", {"tests/test_gpu.py": "needs a GPU"})


def kinds(method, *outcomes):
    return {one.test.split("::")[-1]: (one.kind, one.why) for one in judge(method, outcomes)}


RIGHT = [
    Outcome("tests/test_a.py::test_differs", "failed", "ValueError: 3 rows"),
    Outcome("tests/test_a.py::test_slow", "not run"),
]


def test_what_is_as_it_should_be(listed):
    assert kinds(
        "cam",
        *RIGHT,
        Outcome("tests/test_a.py::test_shape", "passed"),
        Outcome("tests/test_a.py::test_other", "passed", touched=False),
        Outcome("tests/test_a.py::test_cuda", "skipped", "Skipped: no GPU"),
        Outcome("tests/test_gpu.py", "empty"),
    ) == {
        "test_differs": ("named", "another method"),
        "test_slow": ("named", "not run: it takes days"),
        "test_shape": ("passed", ""),
        "test_other": ("untouched", ""),
        "test_cuda": ("skipped", "Skipped: no GPU"),
        "tests/test_gpu.py": ("skipped", "needs a GPU"),
    }


def test_an_unlisted_failure_is_wrong(listed):
    found = kinds("rise", Outcome("tests/test_a.py::test_differs", "failed", "ValueError: 3 rows"))
    assert found == {"test_differs": ("wrong", "failed ValueError: 3 rows")}


def test_a_listed_test_that_passes_is_wrong(listed):
    found = kinds("cam", Outcome("tests/test_a.py::test_differs", "passed"), RIGHT[1])
    assert found["test_differs"] == ("wrong", "listed, and passes: another method")


def test_a_listed_test_that_fails_otherwise_is_wrong(listed):
    found = kinds(
        "cam", Outcome("tests/test_a.py::test_differs", "failed", "KeyError: 1"), RIGHT[1]
    )
    why = r"listed with '^ValueError: .* rows', but says KeyError: 1"
    assert found["test_differs"] == ("wrong", why)


def test_a_listed_test_that_is_not_there_is_wrong(listed):
    found = kinds("cam", RIGHT[1])
    assert found["test_differs"] == ("wrong", "listed, and there is no such test")


def test_files_that_cannot_be_read_or_hold_no_test_are_wrong(listed):
    found = kinds(
        "cam",
        Outcome("tests/test_b.py", "unreadable", "ModuleNotFoundError: No module named 'psutil'"),
        Outcome("tests/test_c.py", "empty"),
    )
    said = "unreadable ModuleNotFoundError: No module named 'psutil'"
    assert found["tests/test_b.py"] == ("wrong", said)
    assert found["tests/test_c.py"] == ("wrong", "no test of it is about our classes")


def test_the_worst_of_a_tests_subtests_counts(listed):
    test = "tests/test_a.py::test_parts"
    found = kinds("rise", Outcome(test, "passed"), Outcome(test, "failed", "ValueError: no"))
    assert found == {"test_parts": ("wrong", "failed ValueError: no")}


CAPTUM_FILE = """
    import torch
    from captum.attr import LayerGradCam
    from captum.testing.helpers.basic_models import BasicModel_ConvNet_One_Conv


    def test_shape():
        net = BasicModel_ConvNet_One_Conv()
        inputs = torch.arange(16.0).view(1, 1, 4, 4)
        map_ = LayerGradCam(net, net.conv1).attribute(inputs, target=0, attr_dim_summation=True)
        assert map_.shape == (1, 1, 2, 2)


    def test_numbers():
        net = BasicModel_ConvNet_One_Conv()
        inputs = torch.arange(16.0).view(1, 1, 4, 4)
        map_ = LayerGradCam(net, net.conv1).attribute(inputs, target=0)
        torch.testing.assert_close(map_, torch.tensor([[[[11.25, 13.5], [20.25, 22.5]]]]))


    def test_of_nothing_of_ours():
        assert LayerGradCam.__name__ == "LayerGradCam"
"""

GRAD_CAM_FILE = """
    import pytest
    import torch
    from pytorch_grad_cam import EigenCAM, GradCAM, ScoreCAM


    @pytest.mark.parametrize("method", [GradCAM, ScoreCAM, EigenCAM])
    def test_shape(method):
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(),
                                  torch.nn.Linear(72, 2))
        with method(model=net, target_layers=[net[0]], use_cuda=False) as cam:
            assert cam(torch.rand(2, 3, 8, 8), None).shape == (2, 8, 8)
"""


def run(tmp_path, host, text, method):
    checkout = tmp_path / "checkout"
    (checkout / "tests").mkdir(parents=True)
    (checkout / "tests" / "test_made_up.py").write_text(textwrap.dedent(text))
    answer = tmp_path / "answer.json"
    command = [sys.executable, "-m", "tests.peers", f"--{host}", str(checkout)]
    command += ["--methods", method, "--json", str(answer)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    kinds = {
        one["test"].split("::")[-1]: one["kind"] for one in json.loads(answer.read_text())[host]
    }
    return done, kinds


def test_captums_file_runs_with_our_class_in_its_place(tmp_path):
    done, kinds = run(tmp_path, "captum", CAPTUM_FILE, "score-cam")
    assert kinds == {
        "test_shape": "passed",
        "test_numbers": "wrong",  # they are Grad-CAM's: our class did run, and it is not listed
        "test_of_nothing_of_ours": "untouched",
    }
    assert done.returncode == 1
    assert "wrong   tests/test_made_up.py::test_numbers: failed AssertionError" in done.stdout
    assert "in all: 1 passed, 0 named, 0 skipped, 1 wrong" in done.stdout


def test_grad_cams_file_runs_with_our_class_in_its_place(tmp_path):
    done, kinds = run(tmp_path, "grad-cam", GRAD_CAM_FILE, "score-cam")
    assert kinds == {"test_shape[GradCAM]": "passed", "test_shape[ScoreCAM]": "passed"}
    assert done.returncode == 0


def test_a_folder_that_is_no_checkout_is_an_error(tmp_path):
    command = [sys.executable, "-m", "tests.peers", "--captum", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "has no folder tests" in done.stderr
