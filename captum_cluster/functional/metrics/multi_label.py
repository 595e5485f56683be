"""How much of a model's answer a map and its complement keep, where an image has several labels."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, expected
from captum_cluster.functional.metrics.faithfulness import relative_drop
from captum_cluster.functional.metrics.probabilities import check_probabilities, check_target
from captum_cluster.functional.metrics.sums import Sums, by_class, ratio

AVERAGES = ("macro", "micro")
SINGLE_LABEL = ("zero", "exclude")


def multi_label_confidence_update(
    original: Tensor,
    masked: Tensor,
    complement: Tensor,
    target: Tensor,
    present: Tensor | None = None,
) -> Sums:
    """Return the sums per class of the multi-label metrics of confidence.

    A row is a pair (image, label): the image was shown whole (Y), times the label's saliency map
    M (O), and times 1 - M (O'). With N the other labels that the image has:
    ``ic [Y_c < O_c]``, ``ad max(0, Y_c - O_c) / Y_c``, ``ado`` the mean over N of
    ``max(0, Y_n - O_n) / Y_n``, ``ar`` and ``aro`` the same as ``ad`` and ``ado`` with O'. A
    probability Y of 0 cannot drop: 0.

    Args:
        original: (P,L) in [0,1], the probabilities Y of the whole images.
        masked: (P,L) in [0,1], the probabilities O.
        complement: (P,L) in [0,1], the probabilities O'.
        target: (P,) int, the pairs' label c.
        present: (P,L) bool, the labels each row's image has; None for those predicted, Y > 0.5.

    Returns:
        ``ic``, ``ad``, ``ado``, ``ar``, ``aro`` (L,), the sums over the pairs of each class;
        ``pairs`` (L,), their number; ``shared`` (L,), the number of those with other labels;
        ``skipped``, the number of rows left out as their label is not present.

    Raises:
        TypeError: ``present`` is not boolean, or ``target`` holds no integers.
        ValueError: Shapes do not belong together, a value is outside [0,1], or a target outside
            the labels.

    Example:
        >>> whole = torch.tensor([[0.8, 0.6, 0.1]])
        >>> masked, complement = torch.tensor([[0.6, 0.3, 0.1]]), torch.tensor([[0.2, 0.6, 0.1]])
        >>> sums = multi_label_confidence_update(whole, masked, complement, torch.tensor([0]))
        >>> multi_label_confidence_compute(sums)["ado"]
        tensor(0.5000, dtype=torch.float64)

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", equations 10 to 14.
    """
    original, masked, complement = _check_rows(original, masked, complement)
    labels = check_target(target, *original.shape).to(original.device)
    present = _present(original, present)
    own = torch.zeros_like(present).scatter(1, labels[:, None], True)
    counted = (present & own).any(dim=1)
    others = present & ~own & counted[:, None]
    dropped, retained = (relative_drop(original, behind) for behind in (masked, complement))
    values = {
        "ic": ((original < masked) & own).any(dim=1),
        "ad": (dropped * own).sum(dim=1),
        "ado": _mean_of(dropped, others),
        "ar": (retained * own).sum(dim=1),
        "aro": _mean_of(retained, others),
        "pairs": counted,
        "shared": others.any(dim=1),
    }
    # Summed over the rows that count; the others keep a 0.
    sums = {
        name: by_class(value * counted, labels, original.shape[1]) for name, value in values.items()
    }
    return {**sums, "skipped": (~counted).sum()}


def multi_label_confidence_compute(
    sums: Sums, *, average: str = "macro", single_label: str = "zero"
) -> dict[str, Tensor]:
    """Return the multi-label metrics of confidence of their sums.

    ``f1_minus`` is the harmonic mean of ``ad`` and ``aro`` (both the smaller, the better),
    ``f1_plus`` that of ``ar`` and ``ado`` (the larger, the better); 0 where both are 0.

    Args:
        sums: From ``multi_label_confidence_update``, each with the same leading axes (B,L).
        average: "macro": the mean over classes of the class means, classes without a pair left
            out, the harmonic means of each class first; "micro": the mean over all pairs, and the
            harmonic means of these.
        single_label: A pair without other labels counts 0 in ``ado`` and ``aro`` ("zero", as the
            authors' code does), or is left out of them ("exclude").

    Returns:
        ``ic, ad, ado, ar, aro, f1_minus, f1_plus``, each (B,); NaN where nothing is left.

    Raises:
        TypeError: ``average`` or ``single_label`` is no string.
        ValueError: It is another string.

    Example:
        See ``multi_label_confidence_update``.

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM", section 4.3.
    """
    macro = check_choice("average", average, AVERAGES) == "macro"
    others = (
        "pairs" if check_choice("single_label", single_label, SINGLE_LABEL) == "zero" else "shared"
    )
    counts = {"ic": "pairs", "ad": "pairs", "ado": others, "ar": "pairs", "aro": others}
    means = {}
    for name, count in counts.items():
        value, number = sums[name], sums[count]
        means[name] = ratio(value, number) if macro else ratio(value.sum(-1), number.sum(-1))
    means["f1_minus"] = harmonic_mean(means["ad"], means["aro"])
    means["f1_plus"] = harmonic_mean(means["ar"], means["ado"])
    return {name: value.nanmean(-1) if macro else value for name, value in means.items()}


def harmonic_mean(one: Tensor, other: Tensor) -> Tensor:
    """Return ``2ab / (a + b)`` of numbers of at least 0; 0 where both are 0, NaN where one is.

    Example:
        >>> harmonic_mean(torch.tensor([0.5, 0.0]), torch.tensor([1.0, 0.0]))
        tensor([0.6667, 0.0000])
    """
    both = one + other
    return torch.where(both == 0, torch.zeros_like(both), 2 * one * other / both)


def _check_rows(*probabilities: Tensor) -> tuple[Tensor, ...]:
    """Return the three tensors of probabilities (P,L) in float64, checked."""
    names = ("original", "masked", "complement")
    shapes = [tuple(values.shape) for values in probabilities]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2:
        got = f"{shapes[0]}, {shapes[1]} and {shapes[2]}"
        what = "of one shape (P,L)"
        raise ValueError(expected("original, masked and complement", what, got))
    return tuple(
        check_probabilities(name, values).double()
        for name, values in zip(names, probabilities, strict=True)
    )


def _present(original: Tensor, present: Tensor | None) -> Tensor:
    """Return the labels present (P,L), predicted or given."""
    if present is None:
        return original > 0.5
    if present.dtype != torch.bool:
        raise TypeError(expected("present", "a boolean tensor", present.dtype))
    if present.shape != original.shape:
        what = f"of the probabilities' shape {tuple(original.shape)}"
        raise ValueError(expected("present", what, f"{tuple(present.shape)}"))
    return present.to(original.device)


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean (P,) of the chosen values (P,L) of each row; 0 where none is chosen."""
    return (values * chosen).sum(dim=1) / chosen.sum(dim=1).clamp(min=1)
