"""Seeds made of several numbers."""

from __future__ import annotations

import numpy as np


def mixed_seed(*numbers: int) -> int:
    """Return a seed below 2**32 that depends on each of some numbers, all at least 0.

    Example:
        >>> mixed_seed(0, 1) == mixed_seed(0, 1), mixed_seed(0, 1) == mixed_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
