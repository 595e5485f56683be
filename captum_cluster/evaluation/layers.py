"""The layer to explain; see ``captum_cluster.methods.layers``, which finds it."""

from captum_cluster.methods import find_layer, find_layers, own_layers, stages

__all__ = ["find_layer", "find_layers", "own_layers", "stages"]
