"""Tensors that say they are on another device, where there is none: their values are on the CPU.

Inside ``elsewhere()`` the device "meta" is such a one. Operations of tensors on different devices
raise as they do on a GPU, and so does their conversion to NumPy, so code that forgets to move a
tensor fails.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
CPU = torch.device("cpu")

_aten = torch.ops.aten
# What takes tensors of two devices.
_MOVES = {_aten.copy_.default, _aten._to_copy.default, _aten.set_.source_Tensor}
# Indices may be on the CPU whatever the tensor is on.
_INDEXING = {_aten.index.Tensor, _aten.index_put_.default, _aten._index_put_impl_.default}


class Elsewhere(torch.Tensor):
    """A tensor on the other device."""

    @staticmethod
    def __new__(cls, values):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
            requires_grad=False,
        )

    def __init__(self, values):
        self.values_ = values

    def __repr__(self):
        return f"Elsewhere({self.values_!r})"

    def numpy(self, **kwargs):
        raise TypeError("can't convert meta device type tensor to numpy")

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        own = (torch.tensor(part) if isinstance(part, list) else part for part in index)
        return super().__getitem__(tuple(own))

    def tolist(self):
        return self.values_.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class elsewhere(TorchDispatchMode):  # noqa: N801
    """Inside this context the other device is there."""

    def __enter__(self):
        self.before = torch.autocast, torch.tensor, torch.quantile
        torch.autocast, torch.tensor, torch.quantile = _autocast, _tensor, _quantile
        return super().__enter__()

    def __exit__(self, *error):
        torch.autocast, torch.tensor, torch.quantile = self.before
        return super().__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def _autocast(device, *args, **kwargs):
    """Autocast, which knows nothing of the other device."""
    return torch.amp.autocast("cpu" if device == DEVICE.type else device, *args, **kwargs)


def _tensor(data, *, device=None, made=torch.tensor, **kwargs):
    """A tensor of some data, which has no values where it is made on "meta" itself."""
    values = made(data, **kwargs)
    return values if device is None else values.to(device)


def _quantile(values, *args, found=torch.quantile, **kwargs):
    """A quantile, which changes the shape of a tensor in place."""
    quantile = found(_values_of(values), *args, **kwargs)
    return quantile.to(values.device)


def _run(function, args, kwargs):
    leaves, _ = tree_flatten((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    device = kwargs.get("device")
    device = torch.device(device) if device is not None else None
    if device is None:
        device = _device_of(function, args, tensors)
    plain = tree_map(
        lambda leaf: leaf.values_ if isinstance(leaf, Elsewhere) else leaf, (args, kwargs)
    )
    if plain[1].get("device") is not None:
        plain[1]["device"] = CPU
    result = function(*plain[0], **plain[1])
    given = {id(leaf.values_): leaf for leaf in leaves if isinstance(leaf, Elsewhere)}
    return tree_map(lambda leaf: _placed(leaf, device, given), result)


def _values_of(leaf):
    return leaf.values_ if isinstance(leaf, Elsewhere) else leaf


def _device_of(function, args, tensors):
    """Return the device of the result; raise where the tensors are on two."""
    if function in _INDEXING:
        _check_index(tensors)
    if function in _MOVES or function in _INDEXING:
        return tensors[0].device if tensors else CPU
    devices = {tensor.device for tensor in tensors if tensor.ndim}
    if len(devices) > 1:
        names = ", ".join(sorted(map(str, devices)))
        raise RuntimeError(f"{function}: expected all tensors on one device, but found {names}")
    devices = devices or {tensor.device for tensor in tensors} or {CPU}
    return max(devices, key=str)


def _check_index(tensors):
    """Raise where an index is on a device, and the tensor on the CPU, as torch does."""
    if not isinstance(tensors[0], Elsewhere) and any(isinstance(one, Elsewhere) for one in tensors):
        raise RuntimeError("indices should be on the same device as the indexed tensor (cpu)")


def _placed(leaf, device, given):
    if not isinstance(leaf, torch.Tensor):
        return leaf
    if id(leaf) in given:  # an operation in place
        return given[id(leaf)]
    return Elsewhere(leaf) if device.type == DEVICE.type else leaf
