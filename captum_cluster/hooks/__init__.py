"""Look into a model while it runs, and leave it as it was found.

The only room that registers hooks and exchanges what modules run. Every context manager here takes
back what it did when it is left, also when the model raises.
"""

from captum_cluster.hooks.capturing import Capture, capture, run_captured
from captum_cluster.hooks.keeping import (
    check_layer,
    grads_kept,
    modes_kept,
    network_of,
    on_one_device,
    owner_of,
    structure_kept,
    untouched,
)
from captum_cluster.hooks.observing import (
    ForwardCount,
    Widest,
    count_forwards,
    inputs_of,
    trace_shapes,
    widest_output,
)
from captum_cluster.hooks.recording import Record, Step, record
from captum_cluster.hooks.replaying import ReplayError, given, replayed
from captum_cluster.hooks.uncompiling import never_compiled, uncompiled

__all__ = [
    "Capture",
    "ForwardCount",
    "Record",
    "ReplayError",
    "Step",
    "Widest",
    "capture",
    "check_layer",
    "count_forwards",
    "given",
    "grads_kept",
    "inputs_of",
    "modes_kept",
    "network_of",
    "never_compiled",
    "on_one_device",
    "owner_of",
    "record",
    "replayed",
    "run_captured",
    "structure_kept",
    "trace_shapes",
    "uncompiled",
    "untouched",
    "widest_output",
]
