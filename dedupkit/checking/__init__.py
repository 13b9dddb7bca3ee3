"""Checks for CI: a source held against limits, and what exceeds them named for people and for other tools."""
