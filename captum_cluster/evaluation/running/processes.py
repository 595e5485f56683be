"""One process or many, through Lightning Fabric."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from captum_cluster._checks import check_integer, expected
from captum_cluster._extras import require

STRATEGIES = {"ddp": "popen", "ddp_spawn": "spawn", "ddp_fork": "fork"}
"""Of each strategy how its processes start: this program again, a fresh one, a copy."""

# Processes wait for each other at the end only; a slow one must not be given up.
_PATIENCE = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Process:
    """One of the processes of a run.

    Attributes:
        rank: Its number.
        count: How many there are.
        device: Where its model goes; None: where it is.
        barrier: Waits for all others.
        broadcast: Gives every process what the first one has.
    """

    rank: int = 0
    count: int = 1
    device: Any = None
    barrier: Callable[[], object] = lambda: None
    broadcast: Callable[[Any], Any] = lambda value: value


def in_processes(
    work: Callable[..., Any],
    *arguments: Any,
    devices: int = 1,
    strategy: str = "ddp",
    accelerator: str = "auto",
) -> Any:
    """Call ``work(process, *arguments)`` in each process, and return what it gives here.

    With one device that is a plain call. Processes that are started by "ddp_spawn" and "ddp_fork"
    hand nothing back: None.

    Args:
        work: Called in each process; with "ddp_spawn" it and its arguments are pickled.
        *arguments: Passed on.
        devices: Number of processes, one for each device.
        strategy: "ddp" starts this program again for each process, so that it gets here as well;
            "ddp_spawn" and "ddp_fork" (for notebooks) do not.
        accelerator: Lightning's: "cpu", "cuda", "auto", ...

    Raises:
        ImportError: Several devices without Lightning.
        ValueError: No such strategy.

    Example:
        >>> in_processes(lambda process, number: process.count + number, 2)
        3
    """
    if check_integer("devices", devices, 1) == 1:
        return work(Process(), *arguments)
    if strategy not in STRATEGIES:
        raise ValueError(expected("strategy", f"one of {', '.join(STRATEGIES)}", repr(strategy)))
    require("lightning", "train")
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    start: Any = STRATEGIES[strategy]
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        strategy=DDPStrategy(start_method=start, timeout=_PATIENCE),
    )
    launched: Any = _launched
    sealed = fabric.launch(launched, _Sealed((work, arguments, start == "popen")))
    return None if sealed is None else sealed.value


class _Sealed:
    """A value that Lightning hands over as it is: it would look for tensors inside it."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _launched(fabric: Any, sealed: _Sealed) -> _Sealed | None:
    """Do the work in a process that Fabric has started."""
    work, arguments, here = sealed.value
    process = Process(
        fabric.global_rank, fabric.world_size, fabric.device, fabric.barrier, fabric.broadcast
    )
    found = work(process, *arguments)
    # Lightning waits for a started process to end before it takes what it gives: a value that
    # does not fit into a pipe would never arrive.
    return _Sealed(found) if here else None
