"""The embedded engine: a process of its own that behaves like a serving engine and knows exactly when it did what."""
