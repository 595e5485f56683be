"""Which of Lightning's strategies leave each process the whole network."""

from __future__ import annotations

import lightning.pytorch as pl

from captum_cluster._checks import expected

# Where each process holds a part of the network only, none can read or copy all of its weights.
_SHARDED = {"FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy"}


def check_whole_network(trainer: pl.Trainer, purpose: str) -> None:
    """Refuse a strategy that leaves each process a part of the network only.

    Args:
        trainer: The trainer.
        purpose: Where the whole network is needed, for the message ("where maps are watched").

    Raises:
        ValueError: The trainer has such a strategy.

    Example:
        >>> trainer = pl.Trainer(barebones=True, accelerator="cpu", devices=1)
        >>> check_whole_network(trainer, "where maps are watched")
    """
    kinds = {kind.__name__ for kind in type(trainer.strategy).__mro__}
    if kinds & _SHARDED:
        what = f"one that keeps the network whole (ddp) {purpose}"
        raise ValueError(expected("strategy", what, type(trainer.strategy).__name__))
