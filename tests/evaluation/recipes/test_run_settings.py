"""How the networks of a run are trained."""

import pytest

from captum_cluster.evaluation.recipes import TrainingConfig
from captum_cluster.evaluation.recipes.run_settings import chosen_settings
from captum_cluster.training import PRESETS


def test_the_small_preset_is_that_of_the_data():
    digits = chosen_settings(TrainingConfig("baseline"))
    photographs = chosen_settings(TrainingConfig("baseline", "voc:x"))
    assert (digits.lr, digits.top_share, digits.image_size) == (0.01, 1.0, None)
    assert (photographs.lr, photographs.top_share, photographs.image_size) == (1e-4, 0.25, 224)
    assert (digits.fixed_statistics, photographs.fixed_statistics) == (False, True)
    assert (digits.head_lr_factor, photographs.head_lr_factor) == (1.0, 10.0)


@pytest.mark.parametrize(
    ("recipe", "epochs", "size"),
    [
        ("baseline", 61, 224),
        ("sub-category", 61, 224),
        ("class-grouping", 100, 224),
        ("kernel-usage", 110, 512),
    ],
)
def test_the_papers_presets(recipe, epochs, size):
    found = chosen_settings(TrainingConfig(recipe, "voc:x", preset="paper"))
    assert (found.epochs, found.image_size) == (epochs, size)


def test_what_is_given_goes_before_the_preset():
    config = TrainingConfig(
        "kernel-usage", "voc:x", preset="paper", epochs=10, lr=0.5, batch_size=4, top_share=0.1
    )
    found = chosen_settings(config)
    assert (found.epochs, found.lr, found.batch_size, found.top_share) == (10, 0.5, 4, 0.1)


@pytest.mark.parametrize(
    ("epochs", "head"), [(None, 30), (110, 30), (20, 5), (220, 60), (2, 1), (1, 0)]
)
def test_the_epochs_of_the_head_alone_keep_their_share(epochs, head):
    config = TrainingConfig("kernel-usage", "voc:x", preset="paper", epochs=epochs)
    assert chosen_settings(config).head_epochs == head


def test_presets_by_name():
    for name, settings in PRESETS.items():
        if name != "small":  # of photographs it is another
            found = chosen_settings(TrainingConfig("baseline", "voc:x", preset=name))
            assert found == settings, name
    found = chosen_settings(TrainingConfig("sub-category", "voc:x", preset="sub-category-code"))
    assert found.head_lr_factor == 10


@pytest.mark.parametrize(
    ("preset", "name"), [("last-layer", "head_epochs"), ("kernel-usage", "head_epochs")]
)
def test_presets_that_end_rounds_early(preset, name):
    message = f"preset to be one without {name}, for rounds of sub-categories, but got '{preset}'"
    with pytest.raises(ValueError, match=message):
        chosen_settings(TrainingConfig("sub-category", "voc:x", preset=preset))


def test_random_weights_are_trained_as_a_whole_from_the_beginning():
    for preset in ("small", "kernel-usage", "last-layer"):
        found = chosen_settings(TrainingConfig("baseline", "voc:x", weights="none", preset=preset))
        assert (found.top_share, found.head_epochs) == (1.0, 0)
        assert not found.fixed_statistics
        assert found.head_lr_factor == 1.0
    kept = TrainingConfig("baseline", "voc:x", weights="none", top_share=0.5)
    assert chosen_settings(kept).top_share == 0.5
