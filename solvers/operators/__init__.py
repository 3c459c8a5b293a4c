"""Linear operators: the protocol, and matrix-free stencils on structured grids."""
