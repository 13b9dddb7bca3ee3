"""What should not be in a set whatever else is like it: hidden metadata, useless pictures, captions that are none."""
