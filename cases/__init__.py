"""Runnable scripts: solve, compare, train, plot."""
