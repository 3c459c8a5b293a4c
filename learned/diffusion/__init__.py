"""Diffusion samplers for linear inverse problems, with solvers of this package inside, and priors to test them."""
