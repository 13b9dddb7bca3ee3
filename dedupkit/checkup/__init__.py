"""Whether an installation works, and what it lacks."""
