"""Labels, cross-entropy, scores: what classifiers log, and the weights of their labels."""

import pytest
import torch
import torch.nn.functional as F

from captum_cluster.training.modules import LitCamClassifier
from tests.helpers.trainings import LABELS, scene_data, tiny_network, trainer


def test_what_is_logged():
    module, made = LitCamClassifier(tiny_network(dropout=0.0)), trainer(1)
    made.fit(module, scene_data())
    names = {"train_loss", "val_loss", "val_f1", "val_f2", "val_map"}
    assert {*made.callback_metrics} == names
    images, labels, _ = scene_data().val[[*range(5)]]
    module.eval()
    with torch.no_grad():
        logits = module(images)
    loss = F.binary_cross_entropy_with_logits(logits, labels)
    # two batches of different sizes: the mean over the images
    assert float(made.callback_metrics["val_loss"]) == pytest.approx(float(loss), abs=1e-6)
    module.val_scores.update(logits.sigmoid(), labels)
    for name, value in module.val_scores.compute().items():
        assert float(made.callback_metrics[f"val_{name}"]) == pytest.approx(float(value))


@pytest.mark.parametrize(
    ("weight", "error"),
    [
        ([1.0] * LABELS, TypeError),
        (torch.ones(LABELS).long(), TypeError),
        (torch.ones(3), ValueError),
        (-torch.ones(LABELS), ValueError),
    ],
    ids=["list", "integers", "length", "negative"],
)
def test_bad_class_weights(weight, error):
    with pytest.raises(error, match=r"class_weight to be a float tensor \(4,\), one number of at"):
        LitCamClassifier(tiny_network(), class_weight=weight)
