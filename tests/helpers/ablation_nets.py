"""Networks whose tails cannot all be run from one row, for Ablation-CAM and replayed passes."""

import torch
from torch import nn
from torch.nn import functional as F

from tests.helpers.nets import _quiet, _seed


class Counted(nn.Module):
    """Passes its input on as it is, and counts how often and how many rows."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x):
        self.calls.append(len(x))
        return x * 1.0


class Blocks(nn.Module):
    """A stem, a block that joins two ways in the manner of ``join``, and a classifier.

    ``count`` is in the stem, before every layer; ``layer`` is inside the block's first way, and
    ``behind`` at its end.
    """

    def __init__(self, join, channels=6, num_classes=4, seed=0):
        super().__init__()
        self.join = join
        with _quiet():
            self.count = Counted()
            self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
            self.first = nn.Conv2d(channels, channels, 3, padding=1)
            self.layer = nn.ReLU()
            self.second = nn.Conv2d(channels, channels, 3, padding=1)
            self.behind = nn.ReLU()
            self.head = nn.Conv2d(2 * channels if join == "cat" else channels, 5, 1)
            self.fc = nn.Linear(5, num_classes)
        _seed(self, seed)

    def forward(self, x):
        x = self.stem(self.count(x))
        out = self.second(self.layer(self.first(x)))
        if self.join == "add":
            out = out + x
        elif self.join == "out += x":
            out += x
        elif self.join == "x += out":
            x += out
            out = x
        elif self.join == "cat":
            out = torch.cat([x, out], dim=1)
        elif self.join == "relu_":
            out = out + F.relu_(x)
        elif self.join == "view":
            out = out.reshape(len(x), *out.shape[1:])
        elif self.join == "stack":  # not independent of the other rows: no replay is right
            out = out + (x - x.mean(dim=0))
        elif self.join == "random":
            out = out + torch.rand_like(out)
        return self.fc(F.relu(self.head(self.behind(out))).mean(dim=(2, 3)))


class Branches(nn.Module):
    """An Inception block: three ways from one input, concatenated."""

    def __init__(self, channels=4, num_classes=3, seed=0):
        super().__init__()
        with _quiet():
            self.count = Counted()
            self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
            self.one = nn.Conv2d(channels, channels, 1)
            self.three = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
            self.five = nn.Conv2d(channels, channels, 5, padding=2)
            self.fc = nn.Linear(3 * channels, num_classes)
        _seed(self, seed)

    def forward(self, x):
        x = F.relu(self.stem(self.count(x)))
        x = torch.cat([self.one(x), self.three(x), self.five(x)], dim=1)
        return self.fc(F.max_pool2d(x, x.shape[2:]).flatten(1))


class Plain(nn.Module):
    """A VGG: in-place ReLUs behind the convolutions, and a flattened grid before the classifier."""

    def __init__(self, channels=6, num_classes=4, size=8, seed=0):
        super().__init__()
        with _quiet():
            self.count = Counted()
            self.features = nn.Sequential(
                nn.Conv2d(3, channels, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.ReLU(inplace=True),
            )
            self.classifier = nn.Sequential(
                nn.Linear(channels * (size // 2) ** 2, 10),
                nn.ReLU(inplace=True),
                nn.Linear(10, num_classes),
            )
        _seed(self, seed)

    def forward(self, x):
        return self.classifier(self.features(self.count(x)).flatten(1))


class Shared(nn.Module):
    """Calls one block three times, and one module of it in the head too."""

    def __init__(self, channels=5, num_classes=3, seed=0):
        super().__init__()
        with _quiet():
            self.count = Counted()
            self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
            self.relu = nn.ReLU()
            self.block = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), self.relu)
            self.fc = nn.Linear(channels, num_classes)
        _seed(self, seed)

    def forward(self, x):
        x = self.stem(self.count(x))
        for _ in range(3):
            x = x + self.block(x)
        return self.fc(x.amax(dim=(2, 3)))
