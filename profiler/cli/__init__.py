"""Command line: the only part that prints and exits."""
