"""A training that is there, opened again."""

import pytest

from captum_cluster.evaluation.recipes import TrainingConfig, open_sources
from captum_cluster.evaluation.recipes.trained import Trained, TrainedLabels
from tests.helpers.trees import write_text


def test_a_training_writes_its_labels(runs):
    run = runs("baseline")
    known = TrainedLabels([str(digit) for digit in range(10)], several=True)
    assert TrainedLabels.load(run.output) == known
    assert Trained(run.output).labels() == known


def test_a_training_as_it_was(runs):
    training = Trained(runs("baseline").output)
    assert (training.config.recipe, training.settings.epochs) == ("baseline", 1)
    assert (len(training.sources.train), len(training.sources.test)) == (32, 3)
    assert training.sources is training.sources


@pytest.mark.parametrize("options", [{}, {"size": 48}, {"preset": "paper"}], ids=str)
def test_the_preparation_is_known_without_the_data(options, tmp_path):
    for data in ("digits", "digit-scenes:20"):
        TrainingConfig("sub-category", data, **options).save(tmp_path / data)
        training = Trained(tmp_path / data)
        assert training.preparation == training.sources.preparation
    TrainingConfig("baseline", "folder:nowhere", size=48).save(tmp_path)
    assert Trained(tmp_path).preparation.size == 48


def test_labels_that_were_not_written_are_those_of_the_data(tmp_path):
    TrainingConfig("baseline").save(tmp_path)
    classes = open_sources("digits").classes
    assert Trained(tmp_path).labels() == TrainedLabels(classes, several=True)


def test_names_of_labels_are_any_text(tmp_path):
    labels = TrainedLabels(["Bär", '"', "a\nb"], several=False)
    labels.save(tmp_path)
    assert TrainedLabels.load(tmp_path) == labels


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"classes": ["a"]}', '{"classes": 3}'])
def test_a_damaged_file(text, tmp_path):
    TrainingConfig("baseline").save(tmp_path)
    write_text(tmp_path / "labels.json", text)
    with pytest.raises(ValueError, match=r"labels\.json to be the labels of a training, but got"):
        Trained(tmp_path).labels()


def test_no_training(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"network to be the directory of a training \(cap"):
        Trained(tmp_path)
