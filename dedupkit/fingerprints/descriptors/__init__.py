"""Copy descriptors: a picture as a vector whose cosine with another says how likely they are copies."""

from dedupkit.fingerprints.descriptors.base import Describer
from dedupkit.fingerprints.descriptors.opening import open_describer

__all__ = ["Describer", "open_describer"]
