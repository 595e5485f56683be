"""Every explainer through the metrics of other libraries, and their maps through ours.

An explainer is whatever has Captum's ``attribute``, whatever has pytorch-grad-cam's
``target_layers``, or a function ``explain(inputs, target=...)``. The libraries themselves are not
imported here, and need not be installed.

| library | metric | what to pass |
|---|---|---|
| Captum | ``infidelity`` | ``as_input_attributions(maps, inputs)`` |
| Captum | ``sensitivity_max`` | ``explanation_func(explainer)`` |
| pytorch-grad-cam | all | ``as_cams(maps, size)`` |
| Quantus | all | ``explain_func=quantus_explain_func(lambda model: explainer)`` |
| torchcam | all | ``TorchcamExtractor(model, explainer)`` |
| ours | all | ``maps_of(what any of them gives)`` |

Where their definitions and ours agree, and where not:

| theirs | ours |
|---|---|
| torchcam ``avg_drop``, ``conf_increase`` | equal but for the 1e-7 that torchcam adds to Y |
| torchcam ``deletion_auc``, ``insertion_auc`` | equal for the same number of pixels in a step: \
torchcam ceil(H*W/20), ours 8*W |
| torchcam's metrics of its own extractors | torchcam scales a map to [0,1] before it enlarges \
it, ours after |
| pytorch-grad-cam ``DropInConfidence`` | max(0, Y - O), not divided by Y, of whatever the target \
reads: logits unless the model gives probabilities |
| pytorch-grad-cam ``IncreaseInConfidence`` | equal for a model that gives probabilities |
| Quantus ``RelevanceMassAccuracy`` | equal to the energy inside; NaN for an empty map, where \
ours is 0 |
| Quantus ``PointingGame`` | a hit where any of several equal maxima is inside; no tolerance |
| Quantus ``PixelFlipping`` | counts values of all channels, not pixels; "black" is the \
smallest value of the image, not 0 |
| ROAD, ``infidelity``, ``sensitivity_max`` | none |
"""

from captum_cluster.metrics.adapters.explainers import explanation_func, quantus_explain_func
from captum_cluster.metrics.adapters.maps import as_cams, as_input_attributions, maps_of
from captum_cluster.metrics.adapters.torchcam import TorchcamExtractor

__all__ = [
    "TorchcamExtractor",
    "as_cams",
    "as_input_attributions",
    "explanation_func",
    "maps_of",
    "quantus_explain_func",
]
