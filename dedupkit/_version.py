"""The version, in the one place that build and library read."""

__version__ = "0.1.0"
