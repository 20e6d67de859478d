"""A history of runs: what is comparable, what changed its level, and between which commits."""
