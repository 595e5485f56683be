"""What each number of a report means, in a sentence."""

from __future__ import annotations

_BY_LABEL = "first within each label, then over the labels"
_SEVERAL = f"A mean over all (image, label) pairs of the run, {_BY_LABEL}."
_ALONE = (
    "A pair whose image has no other label counts 0 and stays in the mean, as in the authors' code."
)
_SEGMENTS = (
    "the segmentation that an image's maps make with the true one: each pixel is of the label with "
    "the strongest map, or of the background where none is above 0.15. Pixels are counted over all "
    "images; a mean over the labels that the true segmentations show, and the background"
)

GENERAL = (
    "Means are over the pairs of an image and a label that is explained in it, where nothing else "
    "is said. A saliency map is the map without its negative part, scaled to [0, 1]."
)
"""What holds for all of them."""

MEANINGS = {
    "average-drop": "The share of the label's probability that is lost when the image is "
    "multiplied by the saliency map; gains count as 0.",
    "increase": "The share of maps behind which the label is more probable than in the whole "
    "image.",
    "confidence-drop": "The Average Drop with gains counted as negative drops.",
    "deletion": "The area under the curve of the label's probability over the share of pixels "
    "removed, the most salient ones first.",
    "insertion": "The area under the curve of the label's probability over the share of pixels "
    "restored, the most salient ones first.",
    "overall": "The area of Insertion less that of Deletion.",
    "energy": "The share of the saliency that lies inside the object: its pixels, or its boxes "
    "where these are all that is known. A map without a positive part counts 0.",
    "pointing-game": "The share of maps whose maximum lies inside the object, its pixels or its "
    "boxes. A map without a positive part misses.",
    "localization-error": "The share of maps whose box overlaps none of the object's boxes by "
    "at least half (IoU 0.5); the map's box is that around the largest connected part of what "
    f"reaches 0.15 of its maximum. A mean {_BY_LABEL}.",
    "object-iou": "The IoU of the map, cut at 0.15 of its maximum, with the object's pixels. A "
    f"mean {_BY_LABEL}.",
    "object-recall": "The share of the object's pixels that the map, cut at 0.15 of its maximum, "
    f"covers: low where maps cover too little. A mean {_BY_LABEL}.",
    "object-precision": "The share of the pixels of the map, cut at 0.15 of its maximum, that are "
    f"the object's: low where maps cover too much. A mean {_BY_LABEL}.",
    "mean-iou": f"The IoU of {_SEGMENTS}.",
    "pixel-f-score": "The F-score (the harmonic mean of precision and recall) of the pixels of "
    f"{_SEGMENTS}.",
    "multi-label-ic": "The share of maps behind which their own label is more probable than in "
    f"the whole image. {_SEVERAL}",
    "multi-label-ad": "The share of the label's probability that is lost behind its own map. "
    f"{_SEVERAL}",
    "multi-label-ado": "The share of the other labels' probability that is lost behind the map. "
    f"{_SEVERAL} {_ALONE}",
    "multi-label-ar": "The share of the label's probability that is lost when what its map marks "
    f"is taken away. {_SEVERAL}",
    "multi-label-aro": "The share of the other labels' probability that is lost when what the map "
    f"marks is taken away. {_SEVERAL} {_ALONE}",
    "multi-label-f1-minus": "The harmonic mean of Average Drop and Average Retention of Others of "
    "each label, as a mean over the labels; pairs without another label count as they do in these.",
    "multi-label-f1-plus": "The harmonic mean of Average Retention and Average Drop of Others of "
    "each label, as a mean over the labels; pairs without another label count as they do in these.",
    "best-object-iou": "The IoU of the map, cut at 0.15 of its maximum, with the annotated thing "
    "that it overlaps most, whatever that is.",
    "best-object-energy": "The share of the saliency inside the annotated thing that the map, cut "
    "at 0.15 of its maximum, overlaps most.",
}
"""Of each value's name what it means."""
