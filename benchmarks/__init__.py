"""Measurements against named rivals: ratios with their spread, side by side in one run."""
