"""What every table of the recipe is: frozen, and of known names alone."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class RecipePart(BaseModel):
    """A table of the recipe, or the recipe itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
