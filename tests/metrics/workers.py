"""What each of two processes does in the test of metrics over processes."""

from datetime import timedelta

import torch

from tests.metrics.cases import CASES, numbers, shown


def measure(rank, world, rendezvous, results):
    """Show each metric this process's share of the batches; write what all of them give."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{rendezvous}",
        rank=rank,
        world_size=world,
        timeout=timedelta(minutes=2),
    )
    values = {}
    for name, case in CASES.items():
        # three batches: the first process has two of them
        metric = shown(case, [case.batch(seed) for seed in range(3) if seed % world == rank])
        together, alone = metric.compute(), metric.metric_state
        values[name] = (numbers(together), int(sum(state.sum() for state in alone.values())))
    # and one process without any batch
    idle = CASES["average drop"]
    metric = shown(idle, [idle.batch(0)] if rank == 0 else [])
    values["idle"] = (numbers(metric.compute()), 0)
    torch.save(values, f"{results}/{rank}.pt")
    torch.distributed.destroy_process_group()
