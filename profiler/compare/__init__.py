"""Two runs side by side: whether they may be compared, how much slower one is, and where that comes from. Pure."""
