"""Threads, loops, processes and copies, for each row in both faces."""

import copy
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.conformance.cases import assert_same_state, each, hooks_of, modes_of, state_of
from tests.conformance.faces import FACES, TARGETS, batch, both_faces, explained, explainer, net

every_case = each()

pytestmark = [
    pytest.mark.filterwarnings("ignore:Target .* is not in its labels"),
    pytest.mark.filterwarnings("ignore:The model is in training mode"),
]


def assert_close(actual, expected, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# Threads


def in_threads(task, numbers, workers=4):
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(task, numbers))


@every_case
@both_faces
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_threads_explain_one_model_at_once(case, face, training):
    """Each thread has its own CAM object, as of pytorch-grad-cam an object keeps its last pass."""
    model = net()
    inputs = [batch(2, size=(8, 8), seed=seed) for seed in range(4)]
    alone = [explained(case, face, model, model.relu2, x, [1, 0]) for x in inputs]
    model.train(training)
    before = modes_of(model), hooks_of(model)

    def task(number):
        return explained(case, face, model, model.relu2, inputs[number % 4], [1, 0])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        together = in_threads(task, range(12))
    for number, maps in enumerate(together):
        assert_close(maps, alone[number % 4])
    assert (modes_of(model), hooks_of(model)) == before


@every_case
def test_threads_share_one_object_of_the_captum_face(case):
    model = net()
    inputs = [batch(2, size=(8, 8), seed=seed) for seed in range(4)]
    call = explainer(case, "captum", model, model.relu2)
    alone = [call(x, [1, 0]) for x in inputs]
    together = in_threads(lambda number: call(inputs[number % 4], [1, 0]), range(12))
    for number, maps in enumerate(together):
        assert_close(maps, alone[number % 4])


@every_case
@both_faces
def test_the_last_of_two_threads_puts_the_model_back(case, face):
    """The second begins while the first is inside, and ends after it."""
    model, x = net().train(), batch()
    inside, begun, done = threading.Event(), threading.Event(), threading.Event()
    first = threading.get_ident()

    def wait(*_):
        if threading.get_ident() == first and not inside.is_set():
            inside.set()
            begun.wait(10)
        elif threading.get_ident() != first and not begun.is_set():
            begun.set()
            done.wait(10)

    handle = model.conv1.register_forward_pre_hook(wait)
    before = modes_of(model)
    found = []

    def second():
        inside.wait(10)
        found.append(explained(case, face, model, model.relu2, x, TARGETS))

    thread = threading.Thread(target=second)
    thread.start()
    maps = explained(case, face, model, model.relu2, x, TARGETS)
    done.set()
    thread.join(20)
    handle.remove()
    assert modes_of(model) == before
    assert_close(found[0], maps)
    expected = explained(case, face, model.eval(), model.relu2, x, TARGETS)
    assert_close(maps, expected)


# Copies


@every_case
@pytest.mark.parametrize(
    "copier", [copy.deepcopy, lambda cam: pickle.loads(pickle.dumps(cam))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_an_object_of_the_grad_cam_face_can_be_copied(case, copier, used):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    targets = case.targets(TARGETS, x)
    expected = case.cam(model, [model.relu2])(x, targets)
    if used:
        cam(x, targets)
    again = copier(cam)
    assert again.model is not model
    np.testing.assert_array_equal(again(x, targets), expected)
    with torch.no_grad():
        again.model.fc.weight.mul_(2)
    np.testing.assert_array_equal(cam(x, targets), expected)


# Processes


class Explained(torch.utils.data.Dataset):
    """Explains each image where it is loaded."""

    def __init__(self, call):
        self.call = call

    def __len__(self):
        return 2

    def __getitem__(self, number):
        return self.call(batch(1, seed=number), [number])[0]


@every_case
@both_faces
def test_in_a_forked_worker_of_a_data_loader(case, face):
    model = net()
    data = Explained(explainer(case, face, model, model.relu2))
    expected = torch.stack([data[0], data[1]])  # the parent has computed, backwards too
    loader = DataLoader(data, batch_size=2, num_workers=1, multiprocessing_context="fork")
    (found,) = list(loader)
    assert_close(found, expected, atol=0)


# Loops of Lightning


@every_case
@pytest.mark.parametrize("stage", ["validate", "fit"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_in_the_loops_of_lightning(case, stage, tmp_path):
    pl = pytest.importorskip("lightning.pytorch")
    reference = net(torch.float32)
    x = batch(dtype=torch.float32)
    found, modes = [], []

    class Lit(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net(torch.float32).train()

        def explain(self, images):
            before = state_of(self.net, images), torch.is_inference_mode_enabled()
            found.extend(
                explained(case, face, self.net, self.net.relu2, images, TARGETS) for face in FACES
            )
            assert_same_state(before[0], state_of(self.net, images))
            assert torch.is_inference_mode_enabled() == before[1]
            modes.append((self.net.training, before[1]))

        def validation_step(self, given, _):
            self.explain(given[0])

        def training_step(self, given, _):
            self.explain(given[0])
            return self.net(given[0]).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.0)

    loader = DataLoader(torch.utils.data.TensorDataset(x), batch_size=3)
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        max_epochs=1,
        accelerator="cpu",
        num_sanity_val_steps=0,
        **dict.fromkeys(quiet, False),
    )
    if stage == "validate":
        trainer.validate(Lit(), loader, verbose=False)
        assert modes == [(False, True)]
    else:
        trainer.fit(Lit(), loader, loader)
        assert modes[0] == (True, False), "the training step was not explained in training mode"
    for face, maps in zip(FACES, found, strict=False):
        expected = explained(case, face, reference, reference.relu2, x, TARGETS)
        assert_close(maps, expected, 1e-5 * max(1.0, float(expected.abs().max())))
