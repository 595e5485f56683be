"""What every class of the Captum face shares.

The only file that imports Captum's private helpers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from captum._utils.common import _format_additional_forward_args, _format_output, _run_forward
from captum.attr import LayerAttribution
from captum.log import log_usage
from torch import Tensor, nn

from captum_cluster._checks import check_flag, check_integer, describe, expected
from captum_cluster._types import CamResult, Target
from captum_cluster.functional.attribution.scoring import MaskedScorer, read_scores
from captum_cluster.functional.attribution.targets import (
    TargetSelector,
    select_each,
    select_shared,
)
from captum_cluster.hooks import capture, check_layer, untouched
from captum_cluster.methods import (
    Algorithm,
    check_baselines,
    check_images,
    check_outputs,
    feature_maps,
    option_parameters,
    with_options,
)

Inputs = Tensor | tuple[Tensor, ...]
Maps = Tensor | tuple[Tensor, ...]
Forward = Callable[[tuple[Tensor, ...], Tensor], Tensor]


@dataclass(frozen=True)
class RunOptions:
    """How the masked passes are made, whatever the method.

    Attributes:
        baselines: What a mask of 0 leaves of the input: None for 0, a number, or a tensor that
            broadcasts to the input (a blurred copy, say); a tuple of these for several inputs.
        perturbations_per_eval: At most this many times N masked images go through one forward
            pass. None: as many as fit a memory budget. It does not change the map.
        show_progress: Show a bar over the masked passes.
    """

    baselines: Any = None
    perturbations_per_eval: int | None = None
    show_progress: bool = False

    def __post_init__(self) -> None:
        if self.perturbations_per_eval is not None:
            check_integer("perturbations_per_eval", self.perturbations_per_eval, 1)
        check_flag("show_progress", self.show_progress)


class LayerMaskedCam(LayerAttribution):  # type: ignore[misc]
    """Base of the gradient-free methods: explain a layer by masked forward passes.

    A subclass names its algorithm, ``class LayerFooCam(LayerMaskedCam, algorithm=FOO_CAM)``; the
    options of that method then stand in the signatures of ``attribute``, ``attribute_targets``
    and ``explain``.

    Args:
        forward_func: The model, or any function of the inputs that gives its output.
        layer: The layer whose feature maps (N,C,h,w) are explained.
        device_ids: Taken and kept as Captum does. The layer's maps are read on one device: explain
            the ``module`` of a ``DataParallel`` model that is spread over several.
        reshape_transform: Turns what the layer gives, whatever it is, into maps (N,C,h,w). Not
            in Captum.

    Raises:
        TypeError: ``forward_func`` cannot be called, or the layer is no module.
        LayerError: The layer is not in the model.
    """

    algorithm: ClassVar[Algorithm]

    def __init_subclass__(cls, algorithm: Algorithm | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if algorithm is None:  # a subclass of a method's class
            return
        cls.algorithm = algorithm
        for name in {"attribute", "attribute_targets", "explain"} - vars(cls).keys():
            setattr(cls, name, _with_own_options(getattr(LayerMaskedCam, name), algorithm))

    def __init__(
        self,
        forward_func: Callable[..., Tensor],
        layer: nn.Module,
        device_ids: list[int] | None = None,
        *,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if not callable(forward_func):
            raise TypeError(expected("forward_func", "a callable", describe(forward_func)))
        check_layer(forward_func, layer)
        super().__init__(forward_func, layer, device_ids)
        self.reshape_transform = reshape_transform

    def attribute(
        self,
        inputs: Inputs,
        target: Target = None,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
        relu_attributions: bool = False,
        **options: Any,
    ) -> Maps:
        """Return the map of one target for each image.

        Args:
            inputs: The images (N,c,H,W), or a tuple of inputs; those of four dimensions are
                masked.
            target: The label explained, in any of Captum's forms; or a list with one callable of
                one image's output for each image.
            additional_forward_args: As in Captum. Tensors with N rows go with their images.
            attribute_to_layer_input: Explain what the layer takes instead of what it gives.
            relu_attributions: Set negative values to 0.
            **options: ``baselines``, ``perturbations_per_eval`` and ``show_progress`` (see
                ``RunOptions``), and the method's own (see its config).

        Returns:
            (N,1,h,w) at the layer's resolution (RISE: at the input's), signed and not
            normalised; a tuple where the layer gives several tensors.

        Raises:
            TargetError: The target does not fit the model's output (a ``ValueError``, and an
                ``AssertionError`` as Captum's own).
            LayerError: The layer gives no feature maps, or is not called.
            ValueError: Inputs, baselines or scores that are not finite, an empty batch, or an
                option outside its range.
            TypeError: An argument of a wrong type, or an option that the method does not have.
        """
        check_flag("relu_attributions", relu_attributions)
        select = functools.partial(select_each, target)
        results = self._results(
            select, inputs, additional_forward_args, attribute_to_layer_input, options
        )
        return _maps(results, relu_attributions)

    def attribute_targets(
        self,
        inputs: Inputs,
        targets: Any,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
        relu_attributions: bool = False,
        **options: Any,
    ) -> Maps:
        """Return the maps of several targets of the same images, from ONE set of masked passes.

        Args:
            inputs: As for ``attribute``, and so for the arguments not named here.
            targets: T targets for all images (a list, or a tensor (T,)), or one list of T
                targets for each image (or a tensor (N,T)).
            additional_forward_args: As for ``attribute``.
            attribute_to_layer_input: As for ``attribute``.
            relu_attributions: As for ``attribute``.
            **options: As for ``attribute``.

        Returns:
            (N,T,h,w); a tuple where the layer gives several tensors.

        Raises:
            TargetError: As for ``attribute``, and so for the other errors.
        """
        check_flag("relu_attributions", relu_attributions)
        select = functools.partial(select_shared, targets)
        results = self._results(
            select, inputs, additional_forward_args, attribute_to_layer_input, options
        )
        return _maps(results, relu_attributions)

    def explain(
        self,
        inputs: Inputs,
        targets: Any,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
        **options: Any,
    ) -> Any:
        """Return the whole result behind ``attribute_targets``: maps, masks, scores, weights.

        Args:
            inputs: As for ``attribute``, and so for the arguments not named here.
            targets: As for ``attribute_targets``.
            additional_forward_args: As for ``attribute``.
            attribute_to_layer_input: As for ``attribute``.
            **options: As for ``attribute``.

        Returns:
            The method's ``CamResult``; a tuple where the layer gives several tensors.

        Raises:
            TargetError: As for ``attribute``, and so for the other errors.
        """
        select = functools.partial(select_shared, targets)
        results = self._results(
            select, inputs, additional_forward_args, attribute_to_layer_input, options
        )
        return results[0] if len(results) == 1 else results

    def _results(
        self,
        select: Callable[..., TargetSelector],
        inputs: Inputs,
        additional_forward_args: Any,
        of_input: bool,
        options: dict[str, Any],
    ) -> tuple[CamResult, ...]:
        """Return one result for each tensor of the layer."""
        names = {parameter.name for parameter in option_parameters(RunOptions)}
        run = RunOptions(**{name: options[name] for name in names & options.keys()})
        own = {name: value for name, value in options.items() if name not in names}
        config = self.algorithm.configure(own)
        batch = inputs if isinstance(inputs, tuple) else (inputs,)
        images = check_images(batch)
        scorer = MaskedScorer(
            self._forward(images, additional_forward_args),
            tuple(tensor.detach() for tensor in batch),
            select(images=images),
            config.reads,
            check_baselines(run.baselines, batch),
            run.perturbations_per_eval and run.perturbations_per_eval * images,
            run.show_progress,
        )
        with torch.no_grad(), untouched(self.forward_func, self.layer):
            maps = self._unmasked(scorer, check_flag("attribute_to_layer_input", of_input))
            return tuple(self.algorithm.run(part, scorer, config) for part in maps)

    def _forward(self, images: int, additional_forward_args: Any) -> Forward:
        """Return the model as a function of inputs and of the images they belong to."""
        extra = _format_additional_forward_args(additional_forward_args) or ()

        def of_rows(argument: Any, rows: Tensor) -> Any:
            if isinstance(argument, Tensor) and argument.ndim and len(argument) == images:
                return argument[rows.to(argument.device)]
            return argument

        def forward(batch: tuple[Tensor, ...], rows: Tensor) -> Tensor:
            chosen = tuple(of_rows(argument, rows) for argument in extra)
            output = _run_forward(self.forward_func, batch, None, chosen or None)
            return check_outputs(output, len(rows))

        return forward

    def _unmasked(self, scorer: MaskedScorer, of_input: bool) -> list[Tensor]:
        """Make the one unmasked pass: check the target, and return the layer's maps."""
        images = len(scorer.inputs[0])
        rows = torch.arange(images)
        with capture([self.layer], of_input=of_input) as captured:
            outputs = scorer.forward(scorer.inputs, rows)
        scorer.select(read_scores(outputs, scorer.score_function), rows)
        if self.reshape_transform is None:
            return [feature_maps(part, images) for part in captured.activations(0)]
        found = captured.output(0)
        found = found[0] if of_input and len(found) == 1 else found
        return [feature_maps(found, images, self.reshape_transform)]


def _with_own_options(function: Callable[..., Any], algorithm: Algorithm) -> Callable[..., Any]:
    """Return a method of a subclass, with the options of its algorithm in the signature."""

    @functools.wraps(function)
    def method(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    # NoiseTunnel, TCAV and others call what log_usage wraps.
    logged: Callable[..., Any] = log_usage(part_of_slo=True)(
        with_options(RunOptions, algorithm.config)(method)
    )
    return logged


def _maps(results: tuple[CamResult, ...], relu: bool) -> Maps:
    """Return the maps of one result or of several, as Captum returns attributions."""
    maps = tuple(result.maps.relu() if relu else result.maps for result in results)
    formatted: Maps = _format_output(len(maps) > 1, maps)
    return formatted
