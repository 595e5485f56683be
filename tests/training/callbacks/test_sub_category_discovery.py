"""Rounds of sub-categories: against a plain loop, with any module, and what is handed out."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from captum_cluster.functional.training import (
    kernel_usage_weight,
    sub_category_assignments,
    sub_category_labels,
)
from captum_cluster.training import Augmentation, IndexedDataset, TrainingSettings
from captum_cluster.training.callbacks import EpochSeed
from captum_cluster.training.heads import KernelUsageConv2d, KernelUsageLinear
from captum_cluster.training.modules import LitCamClassifier
from captum_cluster.training.sub_category_head import SubCategoryHead
from tests.helpers.trainings import (
    LABELS,
    StopAfter,
    StoppedError,
    UsersModule,
    discovery,
    indexed,
    loader,
    same,
    scene_data,
    tiny_network,
    trainer,
)

# What is computed


def plain_rounds(steps, *, restart, weight, seed=0):
    """The rounds as a plain loop over the order that a training had."""
    module, data = UsersModule(), indexed()
    head = SubCategoryHead(5, LABELS, 3)
    images, labels = (torch.stack([data[i][part] for i in range(12)]) for part in (0, 1))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = None
    for round_number in range(3):
        if round_number:
            with torch.no_grad():
                found = sub_category_assignments(module.features(images), labels, 3, seed=seed)
            if restart:
                module.load_state_dict(before)
            head.reset(seed + round_number)
        parameters = [*module.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(parameters, 0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=2 * 3)
        for _, index, _ in [step for step in steps if step[0] // 2 == round_number]:
            features = module.features(images[index])
            logits = module.parent_head(features)
            loss = F.binary_cross_entropy_with_logits(logits, labels[index])
            if found is not None:
                targets = sub_category_labels(found[index], 3)
                loss = loss + weight * F.multilabel_soft_margin_loss(head(features), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return module.state_dict(), head, found


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("returns", ["tensor", "dictionary"])
def test_the_rounds_are_those_of_a_plain_loop(restart, returns):
    module, callback = UsersModule(returns=returns), discovery(restart=restart, weight=2.0)
    trainer(6, callback).fit(module, loader())
    state, head, found = plain_rounds(module.steps, restart=restart, weight=2.0)
    trained = module.state_dict()
    for name, value in state.items():
        torch.testing.assert_close(trained[name], value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(module.sub_category_head.weight, head.weight, rtol=1e-5, atol=1e-6)
    assert torch.equal(callback.assignments, found)


def test_round_0_is_a_training_without_sub_categories():
    seed = EpochSeed(4)
    alone, joint = UsersModule(), UsersModule()
    trainer(2, seed).fit(alone, loader())
    callback = discovery(rounds=1)
    trainer(4, seed, callback).fit(joint, loader())
    state = callback.round_state(0)
    assert all(torch.equal(state[name], value) for name, value in alone.state_dict().items())


@pytest.mark.parametrize("restart", [True, False])
def test_rounds_begin_with_the_first_or_the_last_weights(restart):
    class Beginnings(EpochSeed):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 0 and trainer.current_epoch % 2 == 0:
                starts.append({k: v.clone() for k, v in pl_module.state_dict().items()})

    starts, module, callback = [], UsersModule(), discovery(restart=restart)
    trainer(6, Beginnings(), callback).fit(module, loader())
    heads = [start["sub_category_head.weight"] for start in starts]
    assert not torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[1], heads[2])
    for number in (1, 2):
        expected = starts[0] if restart else callback.round_state(number - 1)
        names = [name for name in expected if "sub_category_head" not in name]
        assert all(torch.equal(starts[number][name], expected[name]) for name in names)


def test_absent_labels_have_no_sub_category_and_rare_ones_few():
    callback = discovery(n_sub_categories=4)
    trainer(6, callback).fit(UsersModule(), loader())
    found, labels = callback.assignments, torch.stack([row[1] for row in indexed()])
    assert torch.equal(found >= 0, labels.bool())
    assert not (found[0] >= 0).any()  # an image without a label
    assert not (found[:, 3] >= 0).any()  # a label without an image
    assert sorted(found[:, 2][found[:, 2] >= 0].tolist()) == [0, 1]  # two images, four clusters
    assert int(found[:, 0].max()) == 3


def test_features_are_taken_in_evaluation_mode_and_without_changes():
    module = LitCamClassifier(tiny_network(), TrainingSettings(lr=0.05))
    data = scene_data(augmentation=Augmentation(flip=True, scale=(0.3, 0.6), jitter=0.5))
    callback = discovery(rounds=1, epochs_per_round=1)
    trainer(2, callback).fit(module, data)
    after = LitCamClassifier(tiny_network()).eval()
    state = callback.round_state(0)
    after.load_state_dict({k: v for k, v in state.items() if "sub_category_head" not in k})
    images, labels, _ = data.train[[*range(12)]]
    with torch.no_grad():
        expected = sub_category_assignments(after.features(images), labels, 3)
    assert torch.equal(callback.assignments, expected)
    assert all(part.training for part in module.modules())


def test_other_images_can_be_given():
    class Noise(TensorDataset):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return torch.rand_like(image), label

    plain = indexed()
    noisy = IndexedDataset(Noise(*plain.dataset.tensors))
    callback = discovery(rounds=1, epochs_per_round=1, images=plain)
    trainer(2, callback).fit(module := UsersModule(), DataLoader(noisy, 5))
    module.load_state_dict(callback.round_state(0))
    with torch.no_grad():
        features = module.features(plain.dataset.tensors[0])
    expected = sub_category_assignments(features, plain.dataset.tensors[1], 3)
    assert torch.equal(callback.assignments, expected)


def test_batches_of_another_form():
    class Named(IndexedDataset):
        def __getitem__(self, index):
            image, label, number = super().__getitem__(index)
            return {"x": image, "y": int(label[1]), "i": number}

    class Module(UsersModule):
        def training_step(self, batch, batch_idx):
            labels = F.one_hot(batch["y"], LABELS).float()
            return super().training_step((batch["x"], labels, batch["i"]), batch_idx)

    data = Named(indexed().dataset)
    callback = discovery(batch_parts=lambda batch: (batch["x"], batch["y"], batch["i"]))
    trainer(6, callback).fit(Module(), DataLoader(data, 4))
    numbers = torch.tensor([data[index]["y"] for index in range(12)])
    assert torch.equal(callback.assignments >= 0, F.one_hot(numbers, LABELS).bool())


def test_a_head_that_is_not_called_as_a_module_gets_another_pass():
    class Direct(UsersModule):
        def forward(self, images):
            head = self.parent_head
            return F.linear(self.features(images), head.weight, head.bias)

    called, direct = UsersModule(), Direct()
    for module in (called, direct):
        trainer(4, EpochSeed(1), discovery(rounds=1)).fit(module, loader())
    for name, value in called.state_dict().items():
        # gradients are summed in another order
        torch.testing.assert_close(direct.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_the_head_is_of_the_kind_of_the_labels():
    module = UsersModule(head=KernelUsageLinear(5, LABELS, bias=False))
    trainer(6, discovery()).fit(module, loader())
    head = module.sub_category_head
    assert isinstance(head, SubCategoryHead)
    assert (head.kernel_usage, head.bias, head.num_labels) == (True, None, LABELS)


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("convolution", [False, True])
def test_the_head_is_regularised_as_that_of_the_labels(convolution, magnitude):
    class Cells(UsersModule):
        """Classifies means that are still maps of one cell."""

        def features(self, images):
            return self.stem(images)

        def forward(self, images):
            return self.parent_head(self.features(images)).flatten(1)

    kind = KernelUsageConv2d if convolution else KernelUsageLinear
    parent = kind(5, LABELS, magnitude=magnitude)
    module = (Cells if convolution else UsersModule)(head=parent)
    trainer(4, discovery(rounds=1)).fit(module, loader())
    head = module.sub_category_head
    assert (head.kernel_usage, head.magnitude) == (True, magnitude)
    slow = kernel_usage_weight(head.weight, magnitude=magnitude)
    assert torch.equal(head.effective_weight, slow)


# A short trial


@pytest.mark.parametrize("batches", [True, 2])
def test_a_fast_dev_run_is_one_short_epoch_that_writes_nothing(tmp_path, batches):
    (tmp_path / "initial.pt").write_text("of a real training")
    callback, module = discovery(directory=tmp_path, epochs_per_round=1), UsersModule()
    trial = trainer(1, callback, fast_dev_run=batches)
    trial.fit(module, loader())
    assert len(module.steps) == int(batches)
    assert (callback.round, callback.assignments) == (0, None)
    assert [path.name for path in tmp_path.iterdir()] == ["initial.pt"]
    assert (tmp_path / "initial.pt").read_text() == "of a real training"
    assert not {"training_step", "configure_optimizers"} & {*vars(module)}
    trainer(3, again := discovery(epochs_per_round=1)).fit(module, loader())
    assert again.round == 2


def test_a_step_that_is_left_out_stays_so():
    class Skipping(UsersModule):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            return None if batch_idx == 1 else loss

    callback = discovery()
    trainer(6, callback).fit(Skipping(), loader())
    assert callback.round == 2


def test_the_global_random_state_is_left_alone_by_the_discovery():
    class Drawing(EpochSeed):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            drawn.append(torch.get_rng_state())

    drawn, states = [], []
    for callbacks in ([], [discovery(rounds=1)]):
        drawn.clear()
        trainer(4, *callbacks, Drawing(1)).fit(UsersModule(), DataLoader(indexed(), 5))
        states.append([*drawn])
    assert all(torch.equal(*pair) for pair in zip(*states, strict=True))


# What is handed out


def test_rounds_and_files(tmp_path):
    callback = discovery(directory=tmp_path / "rounds")
    with pytest.raises(ValueError, match="to have begun round 1, but got round 0"):
        callback.save(tmp_path / "found.json")
    module = UsersModule()
    trainer(6, callback).fit(module, loader())
    names = sorted(path.name for path in (tmp_path / "rounds").iterdir())
    assert names == ["initial.pt", "round-0.pt", "round-1.pt", "round-2.pt"]
    assert same(callback.round_state(2), module.state_dict())
    callback.save(tmp_path / "found.json")
    content = json.loads((tmp_path / "found.json").read_text())
    assert content["round"] == 2
    assert len(content["images"]) == 12
    assert torch.equal(callback.round_assignments(2), callback.assignments)


def test_rounds_that_have_not_been():
    callback = discovery()
    assert callback.assignments is None
    with pytest.raises(ValueError, match="to be a round that has ended, but got 1"):
        callback.round_state(1)
    with pytest.raises(ValueError, match="to be a round up to 0, but got 1"):
        callback.round_assignments(1)
    with pytest.raises(ValueError, match="from 0 to the number of rounds"):
        callback.round_state(3)
    with pytest.raises(ValueError, match="from 1 to the number of rounds"):
        callback.round_assignments(0)


def test_the_module_gets_its_methods_back():
    module = UsersModule()
    trainer(6, discovery()).fit(module, loader())
    assert not {"training_step", "configure_optimizers"} & {*vars(module)}
    with pytest.raises(StoppedError):
        trainer(6, discovery(), StopAfter(0)).fit(module, loader())
    assert not {"training_step", "configure_optimizers"} & {*vars(module)}
    assert not any(part._forward_pre_hooks for part in module.modules())
