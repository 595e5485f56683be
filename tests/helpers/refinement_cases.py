"""Images and scores that refinements are tried on."""

import torch
import torch.nn.functional as F


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def picture(h, w, seed=0):
    """An image with smooth parts and an edge."""
    image = F.interpolate(draw(1, 3, 4, 4, seed=seed), size=(h, w), mode="bicubic")[0]
    image[:, :, w // 2 :] *= 0.5
    return image.clamp(0, 1)


def smooth(labels, h, w, seed=1):
    maps = F.interpolate(4 * draw(1, labels, 5, 5, seed=seed), size=(h, w), mode="bilinear")[0]
    return maps.softmax(dim=0)


def two_regions():
    """An image of two colours, scores that blur across their edge, and the truth."""
    image = torch.full((3, 32, 40), 0.2)
    image[:, :, 23:] = 0.8
    image += 0.02 * draw(3, 32, 40)
    ramp = torch.linspace(0.1, 0.9, 40).expand(32, 40)
    return image, torch.stack([1 - ramp, ramp]), torch.arange(40).expand(32, 40) >= 23
