"""Review obeyed: what a person marked in the report of a run decides in the next."""
