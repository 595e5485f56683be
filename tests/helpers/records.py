"""Containers of outputs, such as models of torchvision and transformers give."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple


class Pair(NamedTuple):
    """As Inception's and GoogLeNet's."""

    out: Any
    aux: Any


@dataclass
class Record:
    """A plain dataclass."""

    out: Any
    aux: Any = None


@dataclass
class ModelOutput(OrderedDict):
    """As of transformers: a dictionary and a dataclass in one, without what is None."""

    logits: Any = None
    hidden: Any = None

    def __post_init__(self):
        for name in ("logits", "hidden"):
            if getattr(self, name) is not None:
                self[name] = getattr(self, name)
