"""How many edited copies a recipe finds in a set of the user's own, measured on copies that are planted in a sample."""
