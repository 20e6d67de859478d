"""`python -m profiler`."""

from profiler.cli import entry

if __name__ == "__main__":
    entry()
