"""The maps of sub-categories (003) of one image, element by element. See `references`."""

import numpy as np

from tests.helpers.minmax_references import cam
from tests.helpers.references import array


def sub_category_cam(maps, weights, target, n_sub_categories):
    """max_k max(0, CAM of the sub-category k of ``target``) (h,w).

    ``weights`` (L*K,C): the rows of label l are ``l*K`` to ``l*K + K - 1``; the CAM is eq. 1.
    """
    weights = array(weights)
    out = np.zeros(array(maps).shape[1:])
    for k in range(n_sub_categories):
        one = cam(maps, weights, target * n_sub_categories + k)
        for i, row in enumerate(one):
            for j, value in enumerate(row):
                out[i, j] = max(out[i, j], value)
    return out
