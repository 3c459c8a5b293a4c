"""Learned operators: networks from fields to fields, and their use inside solvers."""
