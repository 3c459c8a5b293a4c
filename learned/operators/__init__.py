"""Learned operators: networks from one field (a coefficient, a history) to another (a solution, the next frame)."""
