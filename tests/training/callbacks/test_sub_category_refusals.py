"""What a training in rounds refuses, and how it says so."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from captum_cluster.training import IndexedDataset
from captum_cluster.training.callbacks import HeadFirst, RestoreBest
from tests.helpers.trainings import UsersModule, discovery, indexed, loader, trainer

BAD = {
    "n_sub_categories": (0, ValueError, "n_sub_categories to be an integer of at least 1"),
    "weight": (-1, ValueError, "weight to be a number of at least 0"),
    "rounds": (0, ValueError, "rounds to be an integer of at least 1"),
    "epochs_per_round": (0, ValueError, "epochs_per_round to be an integer of at least 1"),
    "restart": (1, TypeError, "restart to be True or False"),
    "seed": (-1, ValueError, "seed to be an integer from 0 to"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options(name):
    value, error, message = BAD[name]
    with pytest.raises(error) as caught:
        discovery(**{name: value})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("epochs", "options", "got"),
    [(5, {}, "5, with max_steps -1"), (6, {"max_steps": 9}, "6, with max_steps 9")],
    ids=["epochs", "steps"],
)
def test_a_trainer_of_another_length(epochs, options, got):
    with pytest.raises(ValueError, match="to be 6, rounds [+] 1 times epochs_per_round") as caught:
        trainer(epochs, discovery(), **options).fit(UsersModule(), loader())
    assert got in str(caught.value)


@pytest.mark.parametrize(
    "callback",
    [EarlyStopping("val_loss"), RestoreBest(), HeadFirst(1)],
    ids=["stopping", "restoring", "head-first"],
)
def test_callbacks_that_would_cut_rounds(callback):
    name = type(callback).__name__
    with pytest.raises(ValueError, match=f"its epochs and its weights, but got {name}"):
        trainer(6, discovery(), callback).fit(UsersModule(), loader())


def test_frozen_layers_go_with_rounds():
    module = UsersModule()
    before = module.stem[0].weight.clone()
    trainer(6, discovery(), HeadFirst(0, top_share=0.0)).fit(module, loader())
    assert torch.equal(module.stem[0].weight, before)


def test_modules_without_the_protocol():
    class WithoutFeatures(UsersModule):
        features = None

    class WithoutHead(UsersModule):
        parent_head = None

        def __setattr__(self, name, value):
            super().__setattr__("other" if name == "parent_head" else name, value)

    class Manual(UsersModule):
        automatic_optimization = False

    with pytest.raises(TypeError, match=r"method features\(x\) -> \(N,D\), but got a WithoutF"):
        trainer(6, discovery()).fit(WithoutFeatures(), loader())
    with pytest.raises(TypeError, match="a module parent_head with a weight .*WithoutHead"):
        trainer(6, discovery()).fit(WithoutHead(), loader())
    with pytest.raises(ValueError, match="automatic_optimization of the module to be True"):
        trainer(6, discovery()).fit(Manual(), loader())


def test_a_module_that_has_such_a_head_already():
    module = UsersModule()
    module.sub_category_head = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="no sub_category_head other than SubCategoryHead"):
        trainer(6, discovery()).fit(module, loader())


def test_another_number_of_sub_categories_names_the_remedy():
    module = UsersModule()
    trainer(6, discovery()).fit(module, loader())
    with pytest.raises(ValueError, match="other than SubCategoryHead.* n_sub_categories=2") as got:
        trainer(6, discovery(n_sub_categories=2)).fit(module, loader())
    assert str(got.value).endswith(" Take that one away first: del module.sub_category_head.")
    del module.sub_category_head
    trainer(6, discovery(n_sub_categories=2)).fit(module, loader())
    assert module.sub_category_head.n_sub_categories == 2


def test_strategies_that_split_the_network():
    module, split = UsersModule(), SimpleNamespace(strategy=FSDPStrategy())
    with pytest.raises(ValueError, match=r"^Expected strategy to be one .*") as got:
        discovery().setup(split, module, "fit")
    assert str(got.value) == (
        "Expected strategy to be one that keeps the network whole (ddp) where sub-categories are "
        "found, but got FSDPStrategy."
    )
    assert not hasattr(module, "sub_category_head")


def test_optimizers_that_leave_the_head_out():
    with pytest.raises(ValueError, match=r"to give an optimizer all of self.parameters\(\)"):
        trainer(6, discovery()).fit(UsersModule(optimizer="stem"), loader())


def test_batches_without_an_index():
    class Two(UsersModule):
        def training_step(self, batch, batch_idx):
            return super().training_step((*batch, torch.arange(len(batch[0]))), batch_idx)

    with pytest.raises(TypeError, match="but got 2 parts. Wrap the data set in IndexedDataset"):
        trainer(6, discovery()).fit(Two(), DataLoader(indexed().dataset, 4))


def test_an_index_that_is_not_the_place():
    some = torch.utils.data.Subset(indexed(), [3, 4, 5, 6])
    with pytest.raises(ValueError, match="index to be each sample's place in the training data"):
        trainer(6, discovery()).fit(UsersModule(), DataLoader(some, 4))


def test_labels_of_another_number():
    images, labels = indexed().dataset.tensors
    data = IndexedDataset(TensorDataset(images, labels[:, :3]))

    class Three(UsersModule):
        def training_step(self, batch, batch_idx):
            return self(batch[0]).sum()

    with pytest.raises(ValueError, match=r"labels to be of shape \(N,4\), one column for each"):
        trainer(6, discovery()).fit(Three(), DataLoader(data, 4))


def test_several_loaders():
    class Several(UsersModule):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch["a"], batch_idx)

    with pytest.raises(TypeError, match="training data to be one DataLoader, but got dict"):
        trainer(6, discovery()).fit(Several(), {"a": loader()})
