"""What stands beside an emitted set for those who get it: a dataset card, and Croissant metadata."""
