"""Random maps beside where the objects are."""

import torch

SIZE = (7, 8)


def located_pairs(seed, count=6):
    """Maps with large and small parts, each pair's boxes, masks and classes; some without any."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(count, *SIZE, dtype=torch.float64, generator=generator)
    target = torch.randint(0, 3, (count,), generator=generator)
    corners = torch.randint(-2, 10, (count, 2, 4), generator=generator).double() / 1.25
    boxes = [[tuple(box) for box in some[: n % 3]] for n, some in enumerate(corners.tolist())]
    masks = torch.rand(count, *SIZE, generator=generator) < 0.5
    masks[count // 2] = False
    return maps, boxes, masks, target
