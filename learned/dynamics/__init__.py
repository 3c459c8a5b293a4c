"""Koopman models of dynamics: classical, kernel and learned, with spectra that carry residuals."""
