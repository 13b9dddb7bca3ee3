"""One pass inside a training pipeline: samples in, first seen out."""
