"""An index of a set: new samples are compared with all that is in it, and nothing old is read again."""
