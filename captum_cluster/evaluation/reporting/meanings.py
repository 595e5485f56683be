"""What each number of a report means, in a sentence."""

from __future__ import annotations

MEANINGS = {
    "average-drop": "The share of the label's probability that is lost when the image is "
    "multiplied by the saliency map; gains count as 0.",
    "increase": "The share of maps behind which the label becomes more probable.",
    "confidence-drop": "The Average Drop with gains counted as negative drops.",
    "deletion": "The area under the label's probability while the most salient pixels are "
    "removed, step by step.",
    "insertion": "The area under the label's probability while the most salient pixels are "
    "restored, step by step.",
    "overall": "The area of Insertion less that of Deletion.",
    "energy": "The share of the saliency that lies inside the object.",
    "pointing-game": "The share of maps whose maximum lies inside the object.",
    "localization-error": "The share of maps whose box overlaps none of the object's boxes by "
    "half (IoU 0.5), as a mean over the labels.",
    "object-iou": "The IoU of the map, cut at 0.15 of its maximum, with the object's pixels, as a "
    "mean over the labels.",
    "mean-iou": "The IoU of the image segmented by all its maps with the true segmentation, as a "
    "mean over the labels and the background.",
    "pixel-f-score": "The F-score of the pixels of the same segmentation.",
    "multi-label-ic": "In images with several labels: the share of maps behind which their own "
    "label becomes more probable.",
    "multi-label-ad": "The share of the label's probability that is lost behind its own map.",
    "multi-label-ado": "The share of the other labels' probability that is lost behind the map.",
    "multi-label-ar": "The share of the label's probability that is lost when what its map marks "
    "is taken away.",
    "multi-label-aro": "The share of the other labels' probability that is lost when what the map "
    "marks is taken away.",
    "multi-label-f1-minus": "The harmonic mean of Average Drop and Average Retention of Others.",
    "multi-label-f1-plus": "The harmonic mean of Average Retention and Average Drop of Others.",
    "best-object-iou": "The IoU of the map, cut at 0.15 of its maximum, with the annotated thing "
    "that it overlaps most, whatever that is.",
    "best-object-energy": "The share of the saliency inside that thing.",
}
"""Of each value's name what it means."""
