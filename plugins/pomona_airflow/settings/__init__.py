"""The groups of variables that `deployment` reads, and what each may be."""
