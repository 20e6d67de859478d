"""The profiler measures itself: recorded chains against the embedded engine's ground truth."""
