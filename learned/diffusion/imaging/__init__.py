"""Priors of images: volumes, scanners, networks that denoise, and what they are compared with."""
