"""Neural operators: maps from fields to fields, and their use inside solvers."""
