"""Decontamination: what stands in evaluation or other reference sets goes out of a training set."""
