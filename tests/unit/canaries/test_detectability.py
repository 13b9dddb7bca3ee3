from __future__ import annotations

import numpy as np
import pytest

from dedupkit.canaries.detectability import FEATURES, detect, features
from tests.unit.canaries.conftest import jpeg


def test_features_are_what_they_are_called() -> None:
    found = dict(zip(FEATURES, features(jpeg(1, 96, 72), 0.25), strict=True))
    assert len(found) == len(FEATURES)
    assert np.exp(found["log bytes"]) == pytest.approx(len(jpeg(1, 96, 72)))
    assert (np.exp(found["log width"]), np.exp(found["log height"])) == pytest.approx((96, 72))
    assert (found["jpeg"], found["png"], found["exif"], found["place"]) == (1, 0, 0, 0.25)


@pytest.mark.parametrize("how", ["quality", "size", "place"])
def test_it_finds_canaries_that_stand_out(how: str) -> None:
    others = [(jpeg(seed), seed % 7 / 6) for seed in range(60)]
    odd = {
        "quality": [(jpeg(seed, quality=50), seed % 7 / 6) for seed in range(60, 90)],
        "size": [(jpeg(seed, 88, 72), seed % 7 / 6) for seed in range(60, 90)],
        "place": [(jpeg(seed), 1.5) for seed in range(60, 90)],
    }
    found = detect(odd[how], others)
    assert found.auc > 0.9
    assert (found.canaries, found.others) == (30, 60)
