"""Groups that grow, held against connected components."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dedupkit.grouping.groups import components
from dedupkit.matching.forest import Forest


def test_groups_are_the_connected_components_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 60, (2, int(rng.integers(1, 60))))
        old = np.arange(len(a)) < rng.integers(0, len(a) + 1)
        old &= (a < 40) & (b < 40)
        forest = Forest(components(40, a[old], b[old]))
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            forest.join(one, other)
        _, label = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(60, 60)), directed=False)
        found = np.array([forest.find(entry) for entry in range(60)])
        assert ((found[:, None] == found) == (label[:, None] == label)).all()
        assert all(found[entry] <= entry for entry in range(60))
