"""The methods of a run: a name, or a name with options and layers, or somebody else's method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from captum_cluster._checks import describe, expected
from captum_cluster.evaluation.custom import custom_name
from captum_cluster.evaluation.registry import check_method, check_no_instance
from captum_cluster.functional.attribution import Views

_KEYS = ("name", "method", "options", "layer", "scales", "flip")

MethodLike = str | Callable[..., Any] | Mapping[str, Any]
LayerNames = str | nn.Module | Sequence[str | nn.Module]


@dataclass(frozen=True)
class Entry:
    """One method of a run.

    Attributes:
        name: What it is called in the report.
        method: A name of the registry; or a class of a host, or a function.
        options: Of the method.
        layer: Its own layer or layers; None for those of the run.
        views: The sizes at which it sees the image, and whether mirrored too; None: as it is.
    """

    name: str
    method: str | Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)
    layer: LayerNames | None = None
    views: Views | None = None

    def facts(self) -> dict[str, Any]:
        """Return what is told of its views in a run's facts: nothing where there are none."""
        if self.views is None:
            return {}
        return {"scales": list(self.views.scales), "flip": self.views.flip}


def method_entries(methods: Sequence[MethodLike]) -> list[Entry]:
    """Return the methods of a run, each with a name of its own.

    Args:
        methods: Each a name ("cluster-cam"), a class or a function (see ``custom_map``), or a
            mapping with "method" and, as wanted, "name", "options" and "layer", and "scales"
            and "flip": the sizes, as shares of the image's, at which the method sees the image,
            and whether it also sees it mirrored; the maps are summed (multi-scale inference).

    Raises:
        TypeError: A method is something else, such as an explainer made for a model already.
        ValueError: There is none, an unknown one, or two of one name; or a scale not above 0.

    Example:
        >>> wide = {"name": "wide", "method": "cluster-cam", "options": {"n_clusters": 9}}
        >>> [entry.name for entry in method_entries(["grad-cam", wide])]
        ['grad-cam', 'wide']
        >>> scaled = {"method": "cam", "scales": [0.5, 1, 1.5, 2], "flip": True}
        >>> method_entries([scaled])[0].views
        Views(scales=(0.5, 1.0, 1.5, 2.0), flip=True)
    """
    if isinstance(methods, (str, Mapping)) or not isinstance(methods, Sequence):
        raise TypeError(expected("methods", "a list of methods", describe(methods)))
    entries = [_entry(method) for method in methods]
    names = [entry.name for entry in entries]
    if not names:
        raise ValueError(expected("methods", "at least one method", "none"))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        what = "of different names (give one a 'name' of its own)"
        raise ValueError(expected("methods", what, f"{twice[0]!r} more than once"))
    return entries


def _entry(method: Any) -> Entry:
    if isinstance(method, Mapping):
        return _from_mapping(method)
    check_no_instance(method)
    if callable(method):
        return Entry(custom_name(method), method)
    return Entry(check_method(method), method)


def _from_mapping(given: Mapping[str, Any]) -> Entry:
    """Return the entry that a mapping describes."""
    unknown = [key for key in given if key not in _KEYS]
    if unknown or "method" not in given:
        got = f"the unknown key {unknown[0]!r}" if unknown else "no 'method'"
        raise ValueError(expected("a method", f"described by {', '.join(_KEYS)}", got))
    plain = _entry(given["method"])
    options = {} if given.get("options") is None else given["options"]
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise TypeError(expected("options", "a mapping of names to values", describe(options)))
    name = given.get("name", plain.name)
    if not isinstance(name, str) or not name:
        raise TypeError(expected("name", "a name", describe(name)))
    return Entry(name, plain.method, dict(options), given.get("layer"), _views(given))


def _views(given: Mapping[str, Any]) -> Views | None:
    """Return the views that a mapping asks for: those of Views' defaults only where it says so."""
    scales = (1.0,) if given.get("scales") is None else given["scales"]
    flip = False if given.get("flip") is None else given["flip"]
    views = Views(scales, flip)
    return None if views == Views((1.0,), False) else views
