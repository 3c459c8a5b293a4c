"""Learned operators: networks from one field (a coefficient, a history) to another (a solution, the next frame)."""
"""Neural operators: maps from fields to fields, and their use inside solvers."""
