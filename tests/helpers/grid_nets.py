"""One small network for signals, images and volumes, and the same network on a flat grid."""

import torch
from torch import nn

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class GridNet(nn.Module):
    """Two convolutions, global average pooling and a linear head, in 1, 2 or 3 dimensions.

    Args:
        kernel: Sides of the first convolution's kernel, 1 or 3 each; as many as there are
            dimensions. The stride is 2 where the side is 3.
    """

    def __init__(self, kernel, channels=3, labels=5):
        super().__init__()
        conv = _CONVOLUTIONS[len(kernel)]
        stride = tuple(2 if side == 3 else 1 for side in kernel)
        padding = tuple(side // 2 for side in kernel)
        generator = torch.Generator().manual_seed(0)
        with torch.random.fork_rng(devices=[]):
            self.conv1 = conv(channels, 8, kernel, stride, padding)
            self.relu1 = nn.ReLU()
            self.conv2 = conv(8, 12, kernel, 1, padding)
            self.relu2 = nn.ReLU()
            self.fc = nn.Linear(12, labels)
        with torch.no_grad():
            for parameter in self.parameters():
                # Drawn as numbers, whatever the shape: nets of as many weights are alike.
                draw = torch.randn(parameter.numel(), generator=generator, dtype=torch.float64)
                scale = 1.5 * (parameter.shape[0] / parameter.numel()) ** 0.5
                parameter.copy_((draw * scale).reshape(parameter.shape))
        self.double().eval()

    def forward(self, x):
        """Return logits (N,L)."""
        maps = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        return self.fc(maps.flatten(2).mean(dim=2))


class SpectrogramNet(GridNet):
    """Takes signals (N,1,L), and folds them into images (N,1,L/16,16) before it convolves."""

    def __init__(self):
        super().__init__((3, 3), channels=1)

    def forward(self, x):
        """Return logits (N,L)."""
        return super().forward(x.unflatten(2, (-1, 16)))


def batch(*size, images=3, channels=3, seed=0):
    """Return a float64 batch (N,c,*size)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, channels, *size, generator=generator, dtype=torch.float64)
