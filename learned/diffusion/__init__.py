"""Inverse problems by diffusion: priors as denoisers, and samplers that meet the data. It imports torch."""
