"""What a stranger's bytes may do to a run: kill a process that may die, be found out, and be left out."""
