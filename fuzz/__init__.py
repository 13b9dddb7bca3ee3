"""Hostile input made by the thousand, handed to the real command, and what must hold whatever it is: docs/fuzzing.md."""
