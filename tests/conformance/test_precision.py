"""float16, as a model's precision and under autocast, for each row in both faces."""

from contextlib import nullcontext

import pytest
import torch

from tests.conformance.cases import each
from tests.conformance.faces import TARGETS, batch, both_faces, explained, net

# `labels_of` knows no targets.
pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")


@each()
@both_faces
@pytest.mark.parametrize("how", ["autocast", "model"])
def test_float16_stays_close_to_single_precision(case, face, how):
    model, x = net(torch.float32), batch(dtype=torch.float32)
    expected = explained(case, face, model, model.relu2, x, TARGETS)
    half, given = (net(torch.float16), x.half()) if how == "model" else (model, x)
    context = torch.autocast("cpu", torch.float16) if how == "autocast" else nullcontext()
    with context:
        maps = explained(case, face, half, half.relu2, given, TARGETS)
    assert maps.dtype == torch.float32
    assert not torch.equal(maps, expected), "nothing is rounded: the test shows nothing"
    far = (maps - expected).abs() > 0.01 * expected.abs().amax(dim=(2, 3), keepdim=True)
    assert far.float().mean() <= (0.02 if case.denoised else 0)
