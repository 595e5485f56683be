"""What both faces need to know of a method: its id, its options and its function."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from captum_cluster._checks import expected
from captum_cluster._types import CamResult

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Algorithm:
    """A method, as a face declares it.

    Attributes:
        id: The name used everywhere ("cluster-cam").
        config: The class of its options.
        run: ``run(..., config)`` gives the result, of what the faces hand to such methods: maps and
            ``score``, maps and gradients, or maps, gradients and labels.
        paper: Where it comes from.
        passes: Forward passes for one image, as a person reads them.
        linear: Whether the map is a weighted sum of the layer's maps.
        gradient: Whether it takes a gradient.
        contrasts_labels: Whether it takes the labels present in an image.
        several_layers: Whether it makes one map of several layers.
    """

    id: str
    config: Callable[..., Any]
    run: Callable[..., CamResult]
    paper: str = ""
    passes: str = "1"
    linear: bool = True
    gradient: bool = False
    contrasts_labels: bool = False
    several_layers: bool = False

    def configure(self, options: Mapping[str, Any]) -> Any:
        """Return the checked config of some options.

        Raises:
            TypeError: An option that the method does not have, or one of a wrong type.
            ValueError: An option outside its range.
        """
        known = [parameter.name for parameter in option_parameters(self.config)]
        for name in options:
            if name not in known:
                what = f"among {', '.join(known)}" if known else "none"
                raise TypeError(expected(f"the options of {self.id}", f"to be {what}", repr(name)))
        return self.config(**options)


def option_parameters(config: Any) -> list[inspect.Parameter]:
    """Return the fields of a config as keyword-only parameters, with their defaults."""
    return [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=option.type,
        )
        for option in dataclasses.fields(config)
    ]


def split_options(
    config: Callable[..., Any], options: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return the config made of those options that are its own, and the other options.

    Example:
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     beta: float = 0.5
        >>> split_options(Config, {"beta": 1.0, "gamma": 2.0})
        (Config(beta=1.0), {'gamma': 2.0})
    """
    names = {parameter.name for parameter in option_parameters(config)}
    own = {name: value for name, value in options.items() if name in names}
    return config(**own), {name: value for name, value in options.items() if name not in names}


def with_options(*configs: Any) -> Callable[[Function], Function]:
    """Return a decorator that shows the fields of configs in the signature of ``f(**options)``.

    The options, their defaults and their checks are written once, in the config; ``help()``,
    notebooks and the documentation show them at every function that takes them.

    Example:
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     beta: float = 0.5
        >>> @with_options(Config)
        ... def attribute(inputs, **options): ...
        >>> str(inspect.signature(attribute)).replace("'", "")
        '(inputs, *, beta: float = 0.5)'
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        fixed = [
            parameter
            for parameter in signature.parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        added = [parameter for config in configs for parameter in option_parameters(config)]
        shown = signature.replace(parameters=[*fixed, *added])
        function.__signature__ = shown  # type: ignore[attr-defined]
        return function

    return decorate
