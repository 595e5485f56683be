"""What every class of the pytorch-grad-cam face shares."""

from __future__ import annotations

import functools
import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from torch import Tensor, nn

from captum_cluster._checks import TargetError, check_flag, describe, expected
from captum_cluster._types import CamResult, OutputTarget
from captum_cluster.functional.attribution.grids import over_grid, upsample
from captum_cluster.functional.attribution.layout import FastLayout, fast_layout
from captum_cluster.functional.attribution.output_selector import OutputSelector, Pick
from captum_cluster.functional.attribution.outputs import (
    CALLABLES,
    Outputs,
    as_tensor,
    values_in_graph,
)
from captum_cluster.hooks import (
    Capture,
    Widest,
    check_layer,
    modes_kept,
    never_compiled,
    on_one_device,
    run_captured,
    untouched,
    widest_output,
)
from captum_cluster.methods import (
    Algorithm,
    MapsAndGradients,
    check_grid,
    check_images,
    check_outputs,
    feature_gradients,
    feature_maps,
    form_explained,
    with_options,
)

Array = npt.NDArray[np.float32]


class ScopedActivations:
    """The host's ``ActivationsAndGradients``, with hooks only while it is called.

    The host's own hooks stay on the model as long as the CAM object lives, and copy every
    activation to the CPU in each masked pass.

    Attributes:
        measures: Whether to look for the largest tensor that the model makes.
        widest: Its bytes for one image; 0 where that is not known.
    """

    measures = False
    widest = 0

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[nn.Module],
        reshape_transform: Callable[[Tensor], Tensor] | None,
        *,
        with_gradients: bool = False,
        channels_last: bool = True,
        output_selector: OutputSelector | None = None,
    ) -> None:
        self.model = model
        self.layers = list(layers)
        self.reshape_transform = reshape_transform
        self.with_gradients = with_gradients
        self.channels_last = channels_last
        self.output_selector = output_selector or OutputSelector()
        self.forward = self.forward_of(model)
        self.outputs: Outputs = torch.empty(0)
        self.activations: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self.clear()

    def __call__(self, inputs: Tensor) -> Outputs:
        """Run the model once, and keep the layers' feature maps (N,C,h,w)."""
        self.forward = self.forward_of(self.model)
        rows = torch.arange(len(inputs))
        measured = widest_output(self.model) if self.measures else nullcontext(Widest())
        form = form_explained(self.model, (inputs,), "input_tensor")
        seen = on_one_device(self.model)
        forward = self.forward if seen is self.model else self.forward_of(seen)
        with torch.no_grad(), untouched(self.model), form, measured as widest:
            # What was made in inference mode takes no part in a graph, its copy does.
            self.outputs, self.captured = run_captured(
                seen,
                self.layers,
                lambda: forward((inputs,), rows, copied=True),
                gradients=self.with_gradients,
            )
            self.activations = [
                self._feature_maps(number, inputs) for number in range(len(self.layers))
            ]
        self.widest = widest.bytes
        check_grid(self.activations, inputs.shape[2:])
        return self.outputs

    def _feature_maps(self, number: int, inputs: Tensor) -> Tensor:
        """Return the feature maps of a layer, in float32 or better."""
        found, transform = self._found(self.captured, number), self.reshape_transform
        return feature_maps(found, len(inputs), transform, dims=inputs.ndim - 2)

    def forward_of(self, model: Callable[[Tensor], Any]) -> FastLayout:
        """Return a model as a function of inputs and of the images they belong to."""
        forward = functools.partial(_forward, model, self.output_selector)
        return FastLayout(forward, self.channels_last)

    def _found(self, captured: Capture, number: int) -> Any:
        """Return what a layer gave, of which the transform, if any, makes maps."""
        if self.reshape_transform is not None:
            return captured.output(number)
        tensors = captured.activations(number)
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def logits(self) -> Tensor:
        """The outputs, for methods that need the labels: they must be a tensor."""
        return as_tensor(self.outputs)

    def gradients_of(self, value: Callable[[Any], Tensor], layer: int) -> Tensor:
        """Return the gradient of the sum of ``value(outputs)`` at a layer's maps (N,C,h,w)."""
        return self.gradients_of_all(value, [layer])[0]

    def gradients_of_all(
        self, value: Callable[[Any], Tensor], layers: Sequence[int]
    ) -> list[Tensor]:
        """Return the gradients at the maps of several layers, from one backward pass."""
        with torch.enable_grad():
            values = values_in_graph(value(self.outputs), self.outputs)
        found = self.captured.gradients_of_all(values, layers, retain_graph=True)
        return [
            feature_gradients(
                one, self.captured.output(layer), self.activations[layer], self.reshape_transform
            )
            for one, layer in zip(found, layers, strict=True)
        ]

    def with_gradients_of(self, value: Callable[[Any], Tensor]) -> list[MapsAndGradients]:
        """Return each layer's maps, and their gradients (N,1,C,h,w) as ``gradients_of``."""
        gradients = self.gradients_of_all(value, range(len(self.activations)))
        return [
            MapsAndGradients(maps, found[:, None])
            for maps, found in zip(self.activations, gradients, strict=True)
        ]

    def drop_graph(self) -> None:
        """Let go of the graph of the last pass, and keep its maps."""
        self.captured, self.outputs = Capture(), self.outputs.detach()

    def clear(self) -> None:
        """Forget the maps and the outputs."""
        self.captured = Capture()
        self.outputs = torch.empty(0)
        self.activations = []

    def release(self) -> None:
        """Forget the maps; there are no hooks to remove."""
        self.clear()


def _forward(
    model: Callable[[Tensor], Any],
    select: OutputSelector,
    inputs: tuple[Tensor, ...],
    rows: Tensor,
) -> Outputs:
    """Return a model's outputs (P,...) for images (P,c,H,W)."""
    return check_outputs(select(model(inputs[0])), len(rows))


class ScopedCAM(BaseCAM):  # type: ignore[misc]
    """Base of the pytorch-grad-cam face.

    A subclass names its algorithm, ``class FooCAM(MaskedCAM, algorithm=FOO_CAM)``; the options
    of that method then stand in the constructor's signature. Unlike its host it leaves the
    model's training flags and ``.grad`` alone, keeps no hooks on it, and lets every exception
    through.

    Args:
        model: The model.
        target_layers: Layers whose feature maps (N,C,h,w) are explained; the maps of several
            are averaged, each scaled to [0,1], as the host does. No parts of a ``torch.jit`` model,
            which run where no hook sees them.
        reshape_transform: Turns what a layer gives, whatever it is, into maps (N,C,h,w).
        output_selector: What is explained of an output that is no tensor: an index, a key, the
            name of an attribute, or a function of the output. None: the output as it is.
        tta_transforms: The host's, for ``aug_smooth``.
        **options: The method's own, see its config.

    Attributes:
        results: For each target layer the ``CamResult`` of the last call.

    Raises:
        TypeError: An argument of a wrong type, or an option that the method does not have.
        ValueError: An option outside its range.
        LayerError: A layer is not in the model.
    """

    algorithm: ClassVar[Algorithm]
    with_gradients: ClassVar[bool] = False
    shared_options: ClassVar[tuple[type, ...]] = ()

    def __init_subclass__(cls, algorithm: Algorithm | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if algorithm is None:  # a subclass of a method's class, or a base of several methods
            return
        cls.algorithm = algorithm
        shown = _show_options(cls.__init__, *cls.shared_options, algorithm.config)
        cls.__signature__ = shown

    def __init__(
        self,
        model: nn.Module,
        target_layers: Sequence[nn.Module],
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        *,
        output_selector: Pick = None,
        tta_transforms: Any = None,
        **options: Any,
    ) -> None:
        self.config: Any = self.algorithm.configure(options)
        layers = _check_layers(model, target_layers)
        with modes_kept(model):
            super().__init__(
                model, [], reshape_transform, uses_gradients=False, tta_transforms=tta_transforms
            )
        self.target_layers = layers
        self.output_selector = OutputSelector(output_selector)
        self.activations_and_grads = ScopedActivations(
            model,
            layers,
            reshape_transform,
            with_gradients=self.with_gradients,
            output_selector=self.output_selector,
        )
        self.results: list[CamResult] = []

    def __call__(
        self,
        input_tensor: Tensor,
        targets: Sequence[OutputTarget] | None = None,
        aug_smooth: bool = False,
        eigen_smooth: bool = False,
    ) -> Array:
        """Return the saliency maps (N,H,W), float32, each in [0,1].

        Args:
            input_tensor: The images (N,c,H,W); or signals (N,c,L), of which the maps are (N,L); or
                volumes (N,c,D,H,W), (N,D,H,W).
            targets: One callable of one image's output for each image (a row; of a list, as
                detection models give, that image's entry; of a dictionary of tensors that of its
                rows); None: the top class.
            aug_smooth: Average over flips and brightness, as the host does; of images alone.
            eigen_smooth: Keep the first principal component of the weighted maps, as the host
                does; not for RISE and Collection-CAM, whose maps are no sums of weighted feature
                maps.

        Raises:
            TargetError: Not one target for each image, or a target outside the output.
            ValueError: Images or scores that are not finite, or an empty batch.
            LayerError: A layer gives no feature maps, or is not called.
        """
        if check_flag("aug_smooth", aug_smooth) and input_tensor.ndim != 4:
            what = "False for what is no batch of images (N,c,H,W)"
            raise ValueError(expected("aug_smooth", what, "True"))
        result: Array = super().__call__(input_tensor, targets, aug_smooth, eigen_smooth)
        return result

    @never_compiled
    def forward(
        self,
        input_tensor: Tensor,
        targets: Sequence[OutputTarget] | None = None,
        eigen_smooth: bool = False,
    ) -> Array:
        """Return the saliency maps (N,H,W) without augmentation; see ``__call__``."""
        check_images((input_tensor,), "input_tensor")
        if check_flag("eigen_smooth", eigen_smooth) and not self.algorithm.linear:
            what = f"False for {self.algorithm.id}, whose map is no sum of weighted feature maps"
            raise ValueError(expected("eigen_smooth", what, "True"))
        images = input_tensor.detach().to(self.device)
        images = fast_layout(images) if self.activations_and_grads.channels_last else images
        try:
            # No gradient can be taken of what is computed in inference mode.
            with torch.inference_mode(False), untouched(self.model):
                outputs = self.activations_and_grads(images)
                self.outputs = outputs.detach()
                targets = top_classes(self.outputs) if targets is None else targets
                layers = self.compute_cam_per_layer(images, targets, eigen_smooth)
        finally:
            self.activations_and_grads.drop_graph()
        result: Array = self.aggregate_multi_layers(layers)
        return result

    def compute_cam_per_layer(
        self, input_tensor: Tensor, targets: Sequence[OutputTarget], eigen_smooth: bool
    ) -> list[Array]:
        """Return each layer's saliency maps (N,1,H,W) in [0,1], from the maps of the last pass."""
        modes = torch.inference_mode(False), torch.no_grad()
        with modes[0], modes[1], untouched(self.model):
            self.results = self._explain(input_tensor, check_targets(targets, len(input_tensor)))
        maps = self.activations_and_grads.activations
        cams = [
            _image(result, part, eigen_smooth)
            for result, part in zip(self.results, maps, strict=False)
        ]
        return [self._enlarged(np.maximum(cam, 0), input_tensor)[:, None] for cam in cams]

    def _enlarged(self, cams: Array, images: Tensor) -> Array:
        """Return maps (N,*grid) of at least 0 scaled to [0,1], at the size of the images."""
        if images.ndim > 3:
            size = self.get_target_width_height(images)
            return scale_cam_image(cams, size)  # type: ignore[no-any-return]
        # The host knows no signals.
        scaled = torch.from_numpy(scale_cam_image(cams))
        return upsample(scaled, images.shape[2:]).numpy()

    @abstractmethod
    def _explain(self, images: Tensor, targets: list[OutputTarget]) -> list[CamResult]:
        """Return the results of the last pass: one for each layer, or one for all of them."""

    def __del__(self) -> None:
        """Do nothing: there are no hooks to remove."""

    def __exit__(self, *_: object) -> None:
        """Let every exception through."""
        self.activations_and_grads.release()


def check_targets(targets: Any, images: int) -> list[OutputTarget]:
    """Return one target for each image; the host would silently drop images without one.

    Raises:
        TargetError: They are no callables, or not one for each image.
    """
    listed = list(targets) if isinstance(targets, Sequence) else targets
    callables = isinstance(listed, list) and all(callable(target) for target in listed)
    if not callables or len(listed) != images:
        what = f"a list with one callable for each of the {images} images"
        got = f"{len(listed)} of them" if callables else describe(targets)
        raise TargetError(expected("targets", what, got))
    return listed


def _check_layers(model: Any, target_layers: Any) -> list[nn.Module]:
    if not isinstance(model, nn.Module):
        raise TypeError(expected("model", "an nn.Module", describe(model)))
    if next(model.parameters(), None) is None:
        what = "a module with parameters, on whose device pytorch-grad-cam runs"
        raise ValueError(expected("model", what, "one without"))
    if isinstance(target_layers, nn.Module) or not isinstance(target_layers, Sequence):
        got = type(target_layers).__name__
        raise TypeError(expected("target_layers", "a list of modules of the model", f"a {got}"))
    if not target_layers:
        raise ValueError(expected("target_layers", "at least one module of the model", "none"))
    for layer in target_layers:
        check_layer(model, layer, "target_layers")
    return list(target_layers)


def top_classes(outputs: Outputs) -> list[OutputTarget]:
    """Return the top class of each image as a target."""
    outputs = as_tensor(outputs, otherwise=CALLABLES)
    if outputs.ndim != 2:
        what = f"given, since the model's output is of shape {tuple(outputs.shape)}"
        raise TargetError(expected("targets", what, "None"))
    return [ClassifierOutputTarget(int(top)) for top in outputs.argmax(dim=1)]


def _image(result: CamResult, maps: Tensor, eigen_smooth: bool) -> npt.NDArray[Any]:
    """Return the maps (N,h,w) of a result with one target, as the host goes on with them."""
    if not eigen_smooth or result.weights is None:
        cam: npt.NDArray[Any] = result.maps[:, 0].cpu().numpy()
        return cam
    weighted = over_grid(result.weights[:, 0].to(maps), maps.ndim - 2) * maps
    projection: npt.NDArray[Any] = get_2d_projection(weighted.cpu().numpy())
    return projection


def _show_options(function: Callable[..., Any], *configs: Any) -> inspect.Signature:
    """Return the signature of a constructor with the options of some configs."""

    def constructor(*args: Any, **kwargs: Any) -> None: ...

    given = inspect.signature(function)
    own = [parameter for name, parameter in given.parameters.items() if name != "self"]
    constructor.__signature__ = given.replace(parameters=own)  # type: ignore[attr-defined]
    return inspect.signature(with_options(*configs)(constructor))
