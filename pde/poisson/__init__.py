"""Poisson's equation and its relatives on structured grids.

`from conjugo.pde import poisson` is the function; the modules of this folder import as
`from conjugo.pde.poisson import coefficients, masks`.
"""
