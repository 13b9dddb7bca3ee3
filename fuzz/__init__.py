"""Hostile input made by the thousand and handed to the real command, and what must hold then: docs/fuzzing.md."""
