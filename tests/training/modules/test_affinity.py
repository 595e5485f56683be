"""The loss of a batch, what is logged, and that affinities are learned: a walk shows it."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from captum_cluster.training import LitAffinity, TrainingSettings
from captum_cluster.training.callbacks import EpochSeed
from captum_cluster.weak import RandomWalk
from tests.helpers import refinement_references as ref
from tests.helpers.affinity_cases import affinity_net, coloured
from tests.helpers.trainings import StopAfter, StoppedError, same, tiny_network, trainer


def batch(length=2, seed=0):
    """Normalised images and their labels, uncertain at the border of the regions."""
    images, right = coloured(length, seed)
    labels = right.long() * 3
    labels[..., 1:][right[..., 1:] & ~right[..., :-1]] = 255
    return (images - 0.5) / 0.3, labels


def loader(length=32, seed=0, **options):
    return DataLoader(TensorDataset(*batch(length, seed)), 8, **options)


@pytest.mark.parametrize("radius", [2, 5])
@pytest.mark.parametrize("stride", [2, 3])
def test_the_loss_is_that_of_the_formula(stride, radius):
    module, (images, labels) = LitAffinity(affinity_net(stride=stride), radius=radius), batch()
    cells = -(-16 // stride)
    centres = [int((cell + 0.5) * 16 / cells) for cell in range(cells)]
    small = labels[:, centres][:, :, centres]
    features = module(images).detach().double()
    _, expected = ref.affinity_loss(features.numpy(), small.numpy(), radius)
    assert module.loss_of(images, labels).item() == pytest.approx(expected, rel=1e-3)


def test_what_is_logged():
    module, made = LitAffinity(affinity_net()), trainer(1)
    made.fit(module, loader(12), loader(12, seed=1))
    parts = ("loss", "background", "foreground", "negative")
    assert {*made.callback_metrics} == {f"{s}_{part}" for s in ("train", "val") for part in parts}
    for stage in ("train", "val"):
        loss, *terms = (float(made.callback_metrics[f"{stage}_{part}"]) for part in parts)
        assert loss == pytest.approx(terms[0] / 4 + terms[1] / 4 + terms[2] / 2, rel=1e-5)
    with torch.no_grad():
        losses = [
            len(images) * module.loss_of(images, labels) for images, labels in loader(12, seed=1)
        ]
    assert float(made.callback_metrics["val_loss"]) == pytest.approx(float(sum(losses)) / 12)


def kept_inside(network):
    """The share of a seed's score that is in the seed's own region after a walk."""
    (image,), (right,) = coloured(1, seed=9)
    scores = torch.zeros(1, 16, 16)
    scores[0, 8, 1] = 1.0
    walk = RandomWalk(1, log_steps=4, colour=0, position=0, layer=None)
    walked = walk.refine(image, scores, network.features_of(image))[0]
    return float(walked[~right].sum() / walked.sum())


def test_affinities_are_learned():
    network = affinity_net()
    frozen = {name: value.clone() for name, value in network.classifier.state_dict().items()}
    before = kept_inside(network)
    module = LitAffinity(network, TrainingSettings(lr=0.03))
    with torch.no_grad():
        first = module.loss_of(*batch(8, seed=1)).item()
    made = trainer(6)
    made.fit(module, loader(shuffle=True, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        last = module.loss_of(*batch(8, seed=1)).item()
    assert last < 0.75 * first
    assert kept_inside(network) > before + 0.1
    assert same(network.classifier.state_dict(), frozen)


def test_the_rates_of_head_and_classifier():
    settings = TrainingSettings(lr=0.1, head_lr_factor=10.0, schedule="constant")
    alone = LitAffinity(affinity_net(), settings).configure_optimizers().param_groups
    assert [group["lr"] for group in alone] == [1.0]
    module = LitAffinity(affinity_net(train_backbone=True), settings)
    rates = {
        id(parameter): group["lr"]
        for group in module.configure_optimizers().param_groups
        for parameter in group["params"]
    }
    for name, parameter in module.named_parameters():
        assert rates[id(parameter)] == (1.0 if "affinity_head" in name else 0.1), name


@pytest.mark.parametrize("backbone", [False, True])
def test_a_resumed_training_equals_an_uninterrupted_one(backbone, tmp_path):
    def run(*callbacks, folder=None, **options):
        settings = TrainingSettings(restore_best=True, patience=1)
        module = LitAffinity(affinity_net(train_backbone=backbone), settings)
        made = trainer(3, EpochSeed(3), *callbacks, folder=folder)
        made.fit(module, loader(16), loader(8, seed=1), **options)
        return module.state_dict()

    whole = run()
    with pytest.raises(StoppedError):
        run(StopAfter(1), folder=tmp_path)
    assert same(run(ckpt_path=tmp_path / "epoch=1.ckpt"), whole)


def test_batches_without_a_certain_pixel_and_with_an_index():
    module = LitAffinity(affinity_net())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    images, labels = batch(4)
    data = TensorDataset(images, torch.full_like(labels, 255), torch.arange(4))
    made = trainer(1)
    made.fit(module, DataLoader(data, 2))
    assert float(made.callback_metrics["train_loss"]) == 0
    # Nothing to learn: what the weight decay takes is all that changes.
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-3, atol=1e-6)


def test_another_number_of_uncertain_pixels():
    images, labels = batch()
    expected = LitAffinity(affinity_net()).loss_of(images, labels)
    module = LitAffinity(affinity_net(), ignore_index=-1)
    found = module.loss_of(images, labels.masked_fill(labels == 255, -1))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"network": tiny_network()}, TypeError, "^Expected network to be an AffinityNet, but got"),
        ({"radius": 0}, ValueError, "^Expected radius to be a number above 0, but got 0.$"),
        ({"ignore_index": 0.5}, TypeError, "Expected ignore_index to be an integer from"),
        ({"settings": "small"}, TypeError, "settings to be TrainingSettings, but got 'small'"),
        (
            {"settings": TrainingSettings(head_epochs=1)},
            ValueError,
            "^Expected settings to train all from the first epoch on",
        ),
    ],
    ids=["network", "radius", "ignore_index", "settings", "head first"],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        LitAffinity(**{"network": affinity_net(), **options})


def test_bad_labels():
    images, labels = batch()
    with pytest.raises(TypeError, match="^Expected labels to be a tensor of integers"):
        LitAffinity(affinity_net()).loss_of(images, labels.float())
    size = r"^Expected labels to be of the images' size \(2, 16, 16\), but got "
    for wrong, got in ((labels[0], "16, 16"), (labels[:, ::2], "2, 8, 16"), (labels[:1], "1, 16")):
        with pytest.raises(ValueError, match=rf"{size}\({got}"):
            LitAffinity(affinity_net()).loss_of(images, wrong)
