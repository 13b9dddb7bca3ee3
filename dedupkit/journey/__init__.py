"""The stages of a run over one source, each from files to files."""

from dedupkit.journey.tables import Matched, Tables
from dedupkit.journey.whole import Journey

__all__ = ["Journey", "Matched", "Tables"]
