import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from captum_cluster.data import DigitScenes, Scene, collate_scenes
from captum_cluster.evaluation import cache, digit_classifier
from captum_cluster.evaluation.digit_classifier import (
    DigitNet,
    load_digit_net,
    macro_average_precision,
    train_digit_net,
)


def same_weights(first, second):
    other = second.state_dict()
    return all(torch.equal(value, other[name]) for name, value in first.state_dict().items())


@pytest.fixture
def trainings(monkeypatch, tmp_path):
    """Training replaced by a net with random weights, and the cache in an own directory."""
    made = []

    def train(**options):
        made.append(DigitNet().eval())
        return made[-1]

    monkeypatch.setattr(digit_classifier, "train_digit_net", train)
    monkeypatch.setenv("CAPTUM_CLUSTER_CACHE", str(tmp_path / "cache"))
    return made


def cached_file(tmp_path):
    (path,) = (tmp_path / "cache").iterdir()
    return path


def test_network_is_the_original_cam_kind():
    torch.manual_seed(0)
    model = DigitNet().eval()
    images = torch.rand(2, 3, 64, 64)
    maps = model.features(images)
    assert maps.shape == (2, 64, 16, 16)
    assert maps.min().item() == 0  # after the ReLU
    expected = maps.mean(dim=(2, 3)) @ model.fc.weight.T + model.fc.bias
    torch.testing.assert_close(model(images), expected)
    assert model(torch.rand(1, 3, 48, 80)).shape == (1, 10)


def test_each_place_of_the_maps_sees_more_than_the_largest_digit():
    model = DigitNet().eval()
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.features[:-1](image)[0, :, 8, 8].sum(), image)
    assert int((gradient.abs().sum(dim=(0, 1, 2)) > 0).sum()) == 19
    (gradient,) = torch.autograd.grad(model.features(image)[0, :, 8, 8].sum(), image)
    assert int((gradient.abs().sum(dim=(0, 1, 2)) > 0).sum()) == 35


def test_few_steps_lower_the_loss():
    images, labels, _ = collate_scenes(list(DigitScenes(128)))
    model = train_digit_net(scenes=128, epochs=8, progress=False)
    assert not any(part.training for part in model.modules())
    model.train()  # the running statistics are too slow for so few steps
    with torch.no_grad():
        loss = nn.functional.binary_cross_entropy_with_logits(model(images), labels.float())
    # What a model that knows only how often each label occurs would get.
    often = labels.float().mean(dim=0).expand(len(labels), -1)
    assert loss < 0.97 * nn.functional.binary_cross_entropy(often, labels.float())


def test_training_is_determined_by_the_seed_and_leaves_the_random_state():
    before = torch.get_rng_state()
    first = train_digit_net(scenes=64, epochs=1, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    with torch.inference_mode():
        again = train_digit_net(scenes=64, epochs=1, progress=False)
    assert same_weights(first, again)
    assert not same_weights(first, train_digit_net(seed=1, scenes=64, epochs=1, progress=False))


@pytest.mark.parametrize("fails", [False, True])
def test_scenes_are_drawn_by_one_thread_alone(fails, monkeypatch):
    seen = []

    class Watched(DigitScenes):
        def _scene(self, index):
            seen.append(torch.get_num_threads())
            if fails:
                raise OSError("no scene")
            return super()._scene(index)

    before = torch.get_num_threads()
    monkeypatch.setattr(digit_classifier, "DigitScenes", Watched)
    torch.set_num_threads(2)
    try:
        if fails:
            with pytest.raises(OSError, match="no scene"):
                train_digit_net(scenes=32, epochs=1, progress=False)
        else:
            train_digit_net(scenes=32, epochs=1, progress=False)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_training_changes_the_weights_and_the_batch_statistics():
    trained = train_digit_net(scenes=64, epochs=1, progress=False)
    with digit_classifier._own_random_state(0):
        fresh = DigitNet()
    assert not torch.equal(trained.fc.weight, fresh.fc.weight)
    assert not torch.equal(trained.features[0][1].running_mean, fresh.features[0][1].running_mean)
    assert all(value.is_contiguous() for value in trained.state_dict().values())


def test_batches_see_each_scene_once_an_epoch():
    batches = list(digit_classifier._batches(digit_classifier.BATCH * 3, 2))
    assert [len(batch) for batch in batches] == [digit_classifier.BATCH] * 6
    for epoch in (batches[:3], batches[3:]):
        everything = torch.arange(digit_classifier.BATCH * 3)
        assert torch.equal(torch.cat(epoch).sort().values, everything)
    assert not torch.equal(batches[0], batches[3])


@pytest.mark.parametrize("progress", [True, False])
def test_progress_bar_shows_the_loss(progress, capsys):
    train_digit_net(scenes=64, epochs=1, progress=progress)
    assert ("loss=" in capsys.readouterr().err) == progress


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scenes": 31}, ValueError, "scenes to be an integer of at least 32, but got 31"),
        ({"epochs": 0}, ValueError, "epochs to be an integer of at least 1, but got 0"),
        ({"seed": -1}, ValueError, "seed to be an integer of at least 0, but got -1"),
        ({"progress": 1}, TypeError, "progress to be True or False"),
    ],
)
def test_bad_training_arguments(options, error, message):
    with pytest.raises(error, match=message):
        train_digit_net(**options)


class Reader(nn.Module):
    """Reads its logits off the image's first row."""

    def __init__(self, labels):
        super().__init__()
        self.labels = labels
        self.dropout = nn.Dropout(1.0)  # would make every logit 0 in training mode

    def forward(self, images):
        return self.dropout(images[:, 0, 0, : self.labels])


def readable(logits, labels):
    """A scene whose first row holds the logits that ``Reader`` reads off."""
    image = torch.zeros(3, 4, 4)
    image[0, 0, : len(logits)] = torch.tensor(logits)
    labels = torch.tensor(labels, dtype=torch.bool)
    return Scene(image, labels, torch.zeros(len(labels), 4, 4, dtype=torch.bool))


def test_macro_average_precision_by_hand():
    # Label 0: ranks 1 and 3 of 4 are right: (1/1 + 2/3) / 2. Label 1: rank 2 alone: 1/2.
    # Label 2 is nowhere and label 3 everywhere: neither counts.
    scenes = [
        readable([0.9, 0.8, 0.1, 0.1], [1, 0, 0, 1]),
        readable([0.7, 0.6, 0.2, 0.9], [0, 1, 0, 1]),
        readable([0.5, 0.4, 0.3, 0.2], [1, 0, 0, 1]),
        readable([0.3, 0.2, 0.4, 0.8], [0, 0, 0, 1]),
    ]
    expected = ((1 + 2 / 3) / 2 + 1 / 2) / 2
    for batch_size in (1, 3, 64):
        value = macro_average_precision(Reader(4), scenes, batch_size=batch_size)
        assert value == pytest.approx(expected)


def test_average_precision_leaves_modes_and_random_state():
    model = Reader(2)
    model.train()
    scenes = [readable([0.9, 0.1], [1, 0]), readable([0.1, 0.9], [0, 1])]
    before = torch.get_rng_state()
    assert macro_average_precision(model, scenes) == 1.0
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert model.dropout.training
    model.training = False
    macro_average_precision(model, scenes)
    assert (model.training, model.dropout.training) == (False, True)


def test_average_precision_needs_scenes_with_and_without_a_label():
    with pytest.raises(ValueError, match="Expected dataset to be scenes, but got none"):
        macro_average_precision(Reader(2), DigitScenes(0))
    with pytest.raises(ValueError, match="but got 1 scenes without such a label"):
        macro_average_precision(Reader(2), [readable([0.5, 0.5], [1, 0])])
    with pytest.raises(ValueError, match="batch_size to be an integer of at least 1"):
        macro_average_precision(Reader(2), DigitScenes(1), batch_size=0)


def test_second_load_comes_from_the_cache(trainings, tmp_path):
    first, trained = load_digit_net(progress=False)
    assert trained
    before = torch.get_rng_state()
    second, trained = load_digit_net(progress=False)
    assert not trained
    assert len(trainings) == 1
    assert same_weights(first, second)
    assert not any(part.training for part in second.modules())
    assert torch.equal(torch.get_rng_state(), before)
    assert cached_file(tmp_path).suffix == ".pt"  # and nothing temporary beside it


def test_retrain_replaces_the_cached_network(trainings):
    load_digit_net()
    model, trained = load_digit_net(retrain=True)
    assert trained
    assert len(trainings) == 2
    assert same_weights(load_digit_net()[0], model)
    with pytest.raises(TypeError, match="retrain to be True or False"):
        load_digit_net(retrain="yes")


def test_changed_recipe_trains_anew(trainings, monkeypatch, tmp_path):
    load_digit_net()
    monkeypatch.setattr(digit_classifier, "_fingerprint", lambda: "another")
    assert load_digit_net()[1]
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_fingerprint_follows_the_sources(monkeypatch):
    before = digit_classifier._fingerprint()
    assert before == digit_classifier._fingerprint()
    monkeypatch.setattr(digit_classifier.inspect, "getsource", lambda part: part.__name__)
    assert digit_classifier._fingerprint() != before


@pytest.mark.parametrize("damage", ["cut", "text", "other keys", "code", "no state dict"])
def test_unreadable_cache_is_replaced_with_a_warning(damage, trainings, tmp_path):
    load_digit_net()
    path = cached_file(tmp_path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "text":
        path.write_text("not a network")
    elif damage == "other keys":
        torch.save({"weight": torch.zeros(1)}, path)
    elif damage == "code":
        torch.save(Exploding(), path)
    else:
        torch.save([1, 2], path)
    with pytest.warns(UserWarning, match="Ignoring .*it cannot be read"):
        model, trained = load_digit_net()
    assert trained
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, trained = load_digit_net()
    assert not trained
    assert same_weights(model, again)


class Exploding:
    def __reduce__(self):
        return pytest.fail, ("code in the cache file was run",)


def test_unwritable_cache_gives_a_warning_and_the_network(trainings, tmp_path):
    (tmp_path / "cache").write_text("a file where the directory should be")
    with pytest.warns(UserWarning, match="without a cache: cannot write to") as caught:
        model, trained = load_digit_net()
    assert len(caught) == 1
    assert trained
    assert model is trainings[0]


def test_broken_off_write_leaves_the_old_file_and_nothing_else(trainings, tmp_path, monkeypatch):
    first, _ = load_digit_net()

    def full(state, file):
        file.write_bytes(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(cache.torch, "save", full)
    with pytest.warns(UserWarning, match="cannot write .*No space left"):
        load_digit_net(retrain=True)
    monkeypatch.undo()
    assert same_weights(torch_load(cached_file(tmp_path)), first)


def test_interrupted_write_leaves_nothing(trainings, tmp_path, monkeypatch):
    def interrupted(state, file):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_digit_net()
    assert list((tmp_path / "cache").iterdir()) == []


def torch_load(path):
    model = DigitNet()
    assert cache.load_state(model, path)
    return model


def test_cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("CAPTUM_CLUSTER_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert cache.cache_directory() == tmp_path / "own"
    monkeypatch.delenv("CAPTUM_CLUSTER_CACHE")
    assert cache.cache_directory() == tmp_path / "shared" / "captum_cluster"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    places = {"linux": ".cache", "darwin": "Library/Caches", "win32": "local"}
    for platform, place in places.items():
        monkeypatch.setattr(sys, "platform", platform)
        assert cache.cache_directory() == tmp_path / place / "captum_cluster"


@pytest.mark.slow
def test_full_training_reads_unseen_digits():
    model = train_digit_net(progress=False)
    assert macro_average_precision(model, DigitScenes(1000, split="test")) > 0.97
