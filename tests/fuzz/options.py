"""The options of each method, every one of its config's fields within its range."""

from dataclasses import dataclass, fields

import torch
from hypothesis import strategies as st

from tests.conformance.cases import CASES


@dataclass(frozen=True)
class Squashed:
    """A score function of the user's own."""

    def __call__(self, outputs):
        """Return scores of the outputs' shape."""
        return torch.tanh(outputs / 4)


SCORES = st.sampled_from(["logit", "probability", "sigmoid", Squashed()])
SEEDS = st.sampled_from([0, 1, 7, 2**32 - 1])
FLAGS = st.booleans()
UNIT = st.sampled_from([0.0, 0.3, 0.5, 1.0])
LABELLED = {"label_threshold": UNIT, "max_predicted": st.sampled_from([1, 2, 20])}
MINMAX = {
    **LABELLED,
    "decomposed": FLAGS,
    "contrast": st.sampled_from(["positive_sum", "sum_positive"]),
}


def own_options(method, channels):
    """Return for each option of a method how it is drawn, for a layer of so many maps."""
    # Now and then one more than there are: an error in both faces.
    counts = st.integers(1, channels + 1) if channels > 1 else st.just(1)
    tables = {
        "cluster-cam": {
            "n_clusters": counts,
            "clustering": st.sampled_from(["kmeans", "spectral"]),
            "beta": UNIT,
            "combine": st.sampled_from(["score", "base_scissors"]),
            "map_scale": st.sampled_from(["none", "unit"]),
            "normalize_masks": FLAGS,
            "n_init": st.integers(1, 3),
            "score_function": st.none() | SCORES,
            "random_state": SEEDS,
            "similarity": st.sampled_from(["euclidean", "ssim"]),
            "distance_scale": st.sampled_from(["median", "none"]),
            "adjacency": st.sampled_from(["similarity", "gaussian"]),
            "sigma": st.sampled_from([0.1, 1.0, 5.0]),
            "theta": st.sampled_from([-1.0, 0.0, 0.4, 2.0]),
            "n_eigenvectors": st.none() | st.integers(1, max(1, channels - 1)),
        },
        "score-cam": {
            "weighting": st.sampled_from(["softmax", "increase", "probability"]),
            "score_function": st.none() | SCORES,
            "align_corners": FLAGS,
        },
        "ablation-cam": {
            "fill": st.sampled_from(["zero", "low"]),
            "score_function": SCORES,
            "way": st.sampled_from(["auto", "tail", "full"]),
        },
        "rise": {
            "n_masks": st.integers(1, 12),
            "grid_size": st.integers(1, 5),
            "mask_probability": st.sampled_from([0.01, 0.5, 1.0]),
            "score_function": SCORES,
            "random_state": SEEDS,
        },
        "collection-cam": {
            "partition_sizes": st.lists(st.integers(1, channels + 1), min_size=1, max_size=3),
            "denoise_quantile": UNIT,
            "standardize": FLAGS,
            "relu_after_upsampling": FLAGS,
            "increase": FLAGS,
            "score_function": SCORES,
            "sufficient": FLAGS,
            "exponents": st.lists(st.sampled_from([0.3, 1.0, 2.0]), min_size=1, max_size=3),
            "sufficient_score": SCORES,
        },
        "minmax-grad-cam": {**MINMAX, "reduction": st.sampled_from(["mean", "sum"])},
        "minmax-cam": MINMAX,
        "cam": {},
        "sub-category-cam": {},
        "multi-branch-cam": {},
        "multi-level-cam": {**LABELLED, "rest": st.sampled_from(["present", "groupmates", "all"])},
    }
    return tables[method]


def drawn_options(method, channels):
    """Return a strategy of some of a method's options."""
    return st.fixed_dictionaries({}, optional=own_options(method, channels))


def unknown_options():
    """Return the options of the methods' configs that are not drawn, by method."""
    missing = {
        case.method: {field.name for field in fields(case.config)}
        ^ own_options(case.method, 3).keys()
        for case in CASES
    }
    return {method: names for method, names in missing.items() if names}
