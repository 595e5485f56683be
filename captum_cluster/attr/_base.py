"""What every class of the Captum face shares.

The only file that imports Captum's private helpers.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from captum._utils.common import _format_additional_forward_args, _format_output, _run_forward
from captum.attr import LayerAttribution
from captum.log import log_usage
from torch import Tensor, nn

from captum_cluster._checks import check_flag, check_integer, describe, expected
from captum_cluster._types import CamResult, Target
from captum_cluster.functional.attribution.grids import grid_dimensions
from captum_cluster.functional.attribution.layout import FastLayout, fast_layout
from captum_cluster.functional.attribution.output_selector import OutputSelector, Pick
from captum_cluster.functional.attribution.outputs import Outputs, as_tensor, values_in_graph
from captum_cluster.functional.attribution.targets import (
    TargetSelector,
    select_each,
    select_shared,
)
from captum_cluster.hooks import (
    Capture,
    check_layer,
    never_compiled,
    on_one_device,
    run_captured,
    untouched,
)
from captum_cluster.methods import (
    Algorithm,
    check_images,
    check_outputs,
    feature_gradients,
    feature_maps,
    form_explained,
    split_options,
    with_options,
)

Inputs = Tensor | tuple[Tensor, ...]
Maps = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class PassSize:
    """How many rows a pass has, for the methods that make many; their own options describe it."""

    perturbations_per_eval: int | None = None
    show_progress: bool = False

    def __post_init__(self) -> None:
        if self.perturbations_per_eval is not None:
            check_integer("perturbations_per_eval", self.perturbations_per_eval, 1)
        check_flag("show_progress", self.show_progress)


@dataclass(frozen=True)
class Call:
    """One call of ``attribute`` and its relatives, checked and in one form.

    Attributes:
        forward: ``forward(inputs, rows)`` gives the outputs (P,...) for inputs whose rows belong
            to the images ``rows`` (LongTensor (P,)).
        inputs: The batch, each (N,...).
        select: The targets.
        of_input: Explain what the layer takes instead of what it gives.
        forward_of: ``forward`` of another model, which is given the same additional arguments.
    """

    forward: FastLayout
    inputs: tuple[Tensor, ...]
    select: TargetSelector
    of_input: bool
    forward_of: Callable[[Callable[..., Any]], FastLayout]

    @property
    def images(self) -> int:
        """Number of images N."""
        return len(self.inputs[0])

    @property
    def dims(self) -> int:
        """Dimensions of the images' grid: 2; of signals 1, of volumes 3."""
        return grid_dimensions(self.inputs)


@dataclass(frozen=True)
class Observed:
    """The unmasked pass.

    Attributes:
        outputs: The model's outputs, with their graph where gradients are wanted.
        maps: For each layer the feature maps (N,C,h,w) of each tensor that it gives.
        captured: What went through the layers.
        transform: Made the maps of what a layer gives, or None.
    """

    outputs: Outputs
    maps: list[list[Tensor]]
    captured: Capture
    transform: Callable[[Tensor], Tensor] | None

    @property
    def logits(self) -> Tensor:
        """The outputs, for methods that need the labels: they must be a tensor."""
        return as_tensor(self.outputs)

    def gradients(self, value: Callable[[Any], Tensor], layer: int) -> list[Tensor]:
        """Return the gradient of the sum of ``value(outputs)`` at a layer's maps (N,C,h,w)."""
        return self.gradients_of_all(value, [layer])[0]

    def gradients_of_all(
        self, value: Callable[[Any], Tensor], layers: Sequence[int]
    ) -> list[list[Tensor]]:
        """Return the gradients at the maps of several layers, from one backward pass."""
        with torch.enable_grad():
            values = values_in_graph(value(self.outputs), self.outputs)
        found = self.captured.gradients_of_all(values, layers, retain_graph=True)
        return [self._at_maps(one, layer) for one, layer in zip(found, layers, strict=True)]

    def _at_maps(self, found: Sequence[Tensor], layer: int) -> list[Tensor]:
        """Return gradients at what a layer gave as gradients at its maps."""
        maps = self.maps[layer]
        if self.transform is None:
            return [part.to(own) for part, own in zip(found, maps, strict=True)]
        return [feature_gradients(found, self.captured.output(layer), maps[0], self.transform)]


class LayerCam(LayerAttribution):  # type: ignore[misc]
    """Base of the Captum face.

    A subclass names its algorithm, ``class LayerFooCam(LayerMaskedCam, algorithm=FOO_CAM)``; the
    options of that method then stand in the signatures of ``attribute``, ``attribute_targets``
    and ``explain``.

    Args:
        forward_func: The model, or any function of the inputs that gives its output.
        layer: The layer whose feature maps (N,C,h,w) are explained; of signals (N,C,l), of volumes
            (N,C,d,h,w). A module of the model as it was before ``torch.compile``; no part of a
            ``torch.jit`` model, which runs where no hook sees it (a scripted module in a model
            that is not is one).
        device_ids: Taken and kept as Captum does, and not needed: of a ``DataParallel`` model over
            several devices the layer's maps are read on the first, masks are scored on all.
        reshape_transform: Turns what the layer gives, whatever it is, into maps (N,C,h,w). Not
            in Captum.
        output_selector: What is explained of an output that is no tensor: an index, a key, the
            name of an attribute, or a function of the output. None: the output as it is. Not in
            Captum.

    Raises:
        TypeError: ``forward_func`` cannot be called, the layer is no module, or
            ``output_selector`` is of another type.
        LayerError: The layer is not in the model.
    """

    algorithm: ClassVar[Algorithm]
    call_options: ClassVar[type]
    # Whether the model is given images channels-last, where it is faster so.
    channels_last: ClassVar[bool] = True

    def __init_subclass__(cls, algorithm: Algorithm | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if algorithm is None:  # a subclass of a method's class, or a base of several methods
            return
        cls.algorithm = algorithm
        for name in {"attribute", "attribute_targets", "explain"} - vars(cls).keys():
            shown = _with_own_options(getattr(LayerCam, name), cls.call_options, algorithm)
            setattr(cls, name, shown)

    def __init__(
        self,
        forward_func: Callable[..., Any],
        layer: nn.Module | Sequence[nn.Module],
        device_ids: list[int] | None = None,
        *,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        output_selector: Pick = None,
    ) -> None:
        if not callable(forward_func):
            raise TypeError(expected("forward_func", "a callable", describe(forward_func)))
        super().__init__(forward_func, layer, device_ids)
        for part in self._layers():
            check_layer(forward_func, part)
        self.reshape_transform = reshape_transform
        self.output_selector = OutputSelector(output_selector)

    def _layers(self) -> Sequence[nn.Module]:
        """Return the layers that are explained, shallow to final."""
        return [self.layer]

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
            inputs: The images (N,c,H,W), signals (N,c,L) or volumes (N,c,D,H,W), or a tuple of
                inputs; where images are masked, these are the inputs of four dimensions (where
                there are none those of five, else of three).
            target: The label explained, in any of Captum's forms; or, for methods that need no
                labels, a callable of one image's output (a row; of a list, as detection models
                give, that image's entry; of a dictionary of tensors that of its rows), or a list
                with one for each image.
            additional_forward_args: As in Captum. Tensors with N rows go with their images.
            attribute_to_layer_input: Explain what the layer takes instead of what it gives.
            relu_attributions: Set negative values to 0.
            **options: How the passes are made (``MaskOptions``) or which labels are present
                (``LabelOptions``), and the method's own (see its config).

        Returns:
            (N,1,h,w) at the layer's resolution (RISE and Collection-CAM: at the input's), signed
            and not normalised; of signals (N,1,l), of volumes (N,1,d,h,w); a tuple where the
            layer gives several tensors.

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
        """Return the maps of several targets of the same images, from shared passes.

        Masks that do not depend on the target are scored once for all of them; gradients take one
        forward pass, and one backward pass for each target (D-MinMax: and one more).

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
        """Return the whole result behind ``attribute_targets``: maps, and what led to them.

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

    @never_compiled
    def _results(
        self,
        select: Callable[..., TargetSelector],
        inputs: Inputs,
        additional_forward_args: Any,
        of_input: bool,
        options: dict[str, Any],
    ) -> tuple[CamResult, ...]:
        """Return one result for each tensor of the layer."""
        passed, own = split_options(self.call_options, options)
        config = self.algorithm.configure(own)
        batch = inputs if isinstance(inputs, tuple) else (inputs,)
        images = check_images(batch)
        forward_of = functools.partial(
            _forward, images, additional_forward_args, self.output_selector, self.channels_last
        )
        call = Call(
            forward_of(self.forward_func),
            tuple(self._laid_out(tensor.detach()) for tensor in batch),
            select(images=images),
            check_flag("attribute_to_layer_input", of_input),
            forward_of,
        )
        # No gradient can be taken of what is computed in inference mode.
        modes = torch.inference_mode(False), torch.no_grad()
        with modes[0], modes[1], untouched(self.forward_func, self._layers()[0]):
            return self._explain(call, passed, config)

    def _laid_out(self, tensor: Tensor) -> Tensor:
        return fast_layout(tensor) if self.channels_last else tensor

    @abstractmethod
    def _explain(self, call: Call, passed: Any, config: Any) -> tuple[CamResult, ...]:
        """Return the results of a call, with its ``call_options`` and its config."""

    def _observe(
        self,
        call: Call,
        *,
        gradients: bool = False,
        layers: Sequence[nn.Module] | None = None,
        model: Callable[..., Any] | None = None,
    ) -> Observed:
        """Make the one unmasked pass over the images.

        Args:
            call: The call.
            gradients: Keep the graph.
            layers: Whose maps are kept; None: the layers that are explained.
            model: What is run; None: the model that is explained.
        """
        layers = self._layers() if layers is None else layers
        seen = on_one_device(self.forward_func if model is None else model)
        forward = call.forward if seen is self.forward_func else call.forward_of(seen)
        rows = torch.arange(call.images)
        with form_explained(seen, call.inputs):
            outputs, captured = run_captured(
                seen,
                layers,
                # What was made in inference mode takes no part in a graph, its copy does.
                lambda: forward(call.inputs, rows, copied=True),
                of_input=call.of_input,
                gradients=gradients,
            )
            maps = [self._feature_maps(captured, number, call) for number in range(len(layers))]
        return Observed(outputs, maps, captured, self.reshape_transform)

    def _feature_maps(self, captured: Capture, number: int, call: Call) -> list[Tensor]:
        """Return the feature maps of each tensor of one layer."""
        if self.reshape_transform is None:
            found = captured.activations(number)
            return [feature_maps(part, call.images, dims=call.dims) for part in found]
        found = captured.output(number)
        found = found[0] if call.of_input and len(found) == 1 else found
        return [feature_maps(found, call.images, self.reshape_transform, dims=call.dims)]


def _forward(
    images: int,
    additional_forward_args: Any,
    select: OutputSelector,
    channels_last: bool,
    model: Callable[..., Any],
) -> FastLayout:
    """Return a model as a function of inputs and of the images they belong to."""
    extra = _format_additional_forward_args(additional_forward_args) or ()

    def of_rows(argument: Any, rows: Tensor) -> Any:
        if isinstance(argument, Tensor) and argument.ndim and len(argument) == images:
            return argument[rows.to(argument.device)]
        return argument

    def forward(batch: tuple[Tensor, ...], rows: Tensor) -> Outputs:
        chosen = tuple(of_rows(argument, rows) for argument in extra)
        output = _run_forward(model, batch, None, chosen or None)
        return check_outputs(select(output), len(rows))

    return FastLayout(forward, channels_last)


def _with_own_options(
    function: Callable[..., Any], call_options: type, algorithm: Algorithm
) -> Callable[..., Any]:
    """Return a method of a subclass, with the options of its algorithm in the signature."""

    @functools.wraps(function)
    def method(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    # NoiseTunnel, TCAV and others call what log_usage wraps.
    logged: Callable[..., Any] = log_usage(part_of_slo=True)(
        with_options(call_options, algorithm.config)(method)
    )
    return logged


def _maps(results: tuple[CamResult, ...], relu: bool) -> Maps:
    """Return the maps of one result or of several, as Captum returns attributions."""
    maps = tuple(result.maps.relu() if relu else result.maps for result in results)
    formatted: Maps = _format_output(len(maps) > 1, maps)
    return formatted
