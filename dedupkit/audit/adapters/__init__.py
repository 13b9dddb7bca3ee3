"""From a user's model to what an audit asks of it: diffusers pipelines, Python callables, folders of images."""

from __future__ import annotations

from dedupkit.audit.adapters.callables import CallableGenerator
from dedupkit.audit.adapters.generations import GeneratedBatch, Generations
from dedupkit.audit.adapters.opening import Model, open_model

__all__ = ["CallableGenerator", "GeneratedBatch", "Generations", "Model", "open_model"]
