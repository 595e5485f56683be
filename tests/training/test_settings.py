"""Settings: their checks, and the numbers of the papers."""

import dataclasses

import pytest

from captum_cluster.training import PRESETS, Augmentation, TrainingSettings, preset


def test_the_defaults_are_those_of_the_digit_classifier():
    from captum_cluster.evaluation import digit_classifier as digits

    small = preset("small")
    assert (small.optimizer, small.schedule) == ("adamw", "one-cycle")
    assert (small.epochs, small.batch_size) == (digits.EPOCHS, digits.BATCH)
    assert (small.lr, small.weight_decay) == (digits.LEARNING_RATE, digits.WEIGHT_DECAY)
    assert not small.freezes
    assert not small.augmentation


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("class-grouping", {"lr": 1e-4, "batch_size": 20, "epochs": 100, "image_size": 224,
                            "crop": True, "schedule": "plateau", "patience": 5, "factor": 0.5}),
        ("kernel-usage", {"head_epochs": 30, "epochs": 30 + 80, "head_lr": 0.1, "lr": 0.01,
                          "top_share": 0.6, "optimizer": "sgd", "nesterov": True, "momentum": 0.9,
                          "schedule": "plateau", "patience": 3, "factor": 0.5, "early_stop": 20,
                          "restore_best": True, "image_size": 512}),
        ("sub-category", {"optimizer": "adam", "lr": 1e-3, "weight_decay": 5e-4}),
        ("baseline", {"optimizer": "adam", "lr": 1e-3, "weight_decay": 5e-4}),
    ],
)  # fmt: skip
def test_the_numbers_of_the_papers(recipe, expected):
    found = dataclasses.asdict(preset("paper", recipe))
    assert {name: found[name] for name in expected} == expected


def test_the_smaller_images_of_vgg16():
    vgg = preset("kernel-usage-vgg")
    assert vgg == dataclasses.replace(preset("kernel-usage"), image_size=224)


def test_the_numbers_of_the_code_of_sc_cam():
    code = PRESETS["sub-category-code"]
    assert (code.optimizer, code.lr, code.schedule, code.power) == ("sgd", 0.01, "poly", 0.9)
    assert (code.head_lr_factor, code.bias_lr_factor, code.batch_size) == (10, 2, 16)
    assert (code.epochs, code.dropout, code.head_bias, code.image_size) == (61, 0.5, False, 224)
    changes = code.augmentation
    assert changes.flip
    assert changes.jitter > 0
    assert changes.scale[0] < 1


def test_the_numbers_of_deeplab_v2():
    found = preset("paper", "segmentation")
    assert found == PRESETS["segmentation"]
    assert (found.optimizer, found.lr, found.momentum) == ("sgd", 2.5e-4, 0.9)
    assert (found.schedule, found.power, found.weight_decay) == ("poly", 0.9, 5e-4)
    assert (found.batch_size, found.image_size, found.head_lr_factor) == (10, 321, 10)
    assert abs(found.epochs - 10 * 20_000 / 10_582) < 0.5


def test_the_last_layer_alone():
    last = preset("last-layer")
    assert (last.head_epochs, last.epochs, last.top_share) == (95, 95, 0)
    assert (last.schedule, last.step_epochs, last.factor, last.lr) == ("step", 30, 0.1, 0.01)
    assert last.freezes


BAD = [
    ({"optimizer": "lion"}, ValueError, "one of 'sgd', 'adam', 'adamw', but got 'lion'"),
    ({"schedule": "cosine"}, ValueError, "one of 'constant', 'one-cycle', 'poly', 'plateau'"),
    ({"lr": 0}, ValueError, "lr to be a number above 0, but got 0"),
    ({"lr": "fast"}, TypeError, "lr to be a number above 0, but got 'fast'"),
    ({"weight_decay": -1}, ValueError, "weight_decay to be a number of at least 0, but got -1"),
    ({"momentum": 2}, ValueError, "momentum to be a number from 0 to 1, but got 2"),
    ({"nesterov": True}, ValueError, "to be False without sgd and a momentum, but got True"),
    ({"nesterov": 1}, TypeError, "nesterov to be True or False"),
    ({"power": 0}, ValueError, "power to be a number above 0"),
    ({"step_epochs": 0}, ValueError, "step_epochs to be an integer of at least 1"),
    ({"factor": 0}, ValueError, "factor to be a number above 0 and at most 1"),
    ({"patience": 0}, ValueError, "patience to be an integer of at least 1"),
    ({"threshold": 1.5}, ValueError, "threshold to be a number from 0 to 1"),
    ({"epochs": 0}, ValueError, "epochs to be an integer of at least 1"),
    ({"batch_size": 1.5}, TypeError, "batch_size to be an integer of at least 1"),
    ({"head_epochs": 6}, ValueError, "from 0 to the number of epochs (5), but got 6"),
    ({"head_lr": 0}, ValueError, "head_lr to be a number above 0"),
    ({"top_share": 1.1}, ValueError, "top_share to be a number from 0 to 1"),
    ({"head_lr_factor": 0}, ValueError, "head_lr_factor to be a number above 0"),
    ({"bias_lr_factor": -1}, ValueError, "bias_lr_factor to be a number above 0"),
    ({"early_stop": 0}, ValueError, "early_stop to be an integer of at least 1"),
    ({"restore_best": None}, TypeError, "restore_best to be True or False"),
    ({"image_size": 0}, ValueError, "image_size to be an integer of at least 1"),
    ({"crop": 1}, TypeError, "crop to be True or False"),
    ({"augmentation": True}, TypeError, "augmentation to be an Augmentation, but got True"),
    ({"dropout": 1.2}, ValueError, "dropout to be a number from 0 to 1"),
    ({"head_bias": 0}, TypeError, "head_bias to be True or False"),
    ({"fixed_statistics": 0}, TypeError, "fixed_statistics to be True or False"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "error", "message"), BAD, ids=[f"{n}-{next(iter(b[0]))}" for n, b in enumerate(BAD)]
)
def test_bad_settings(options, error, message):
    with pytest.raises(error) as caught:
        TrainingSettings(**options)
    assert message in str(caught.value)


def test_every_setting_is_checked():
    checked = {next(iter(bad[0])) for bad in BAD}
    assert checked == {field.name for field in dataclasses.fields(TrainingSettings)}


@pytest.mark.parametrize(
    ("options", "freezes"),
    [({}, False), ({"head_epochs": 1}, True), ({"top_share": 0.5}, True)],
    ids=["all", "head-first", "top"],
)
def test_freezes(options, freezes):
    assert TrainingSettings(**options).freezes is freezes


def test_unknown_presets_and_recipes():
    with pytest.raises(ValueError, match="Expected name to be one of 'small', .*but got 'large'"):
        preset("large")
    with pytest.raises(ValueError, match="Expected recipe to be one of 'baseline'"):
        preset("paper", "grouping")
    with pytest.raises(TypeError, match="Expected name"):
        preset(3)


def test_augmentation_of_the_settings_is_the_one_given():
    changes = Augmentation(flip=True)
    assert TrainingSettings(augmentation=changes).augmentation is changes
