"""The commands that every run begins with, and what all commands share."""
