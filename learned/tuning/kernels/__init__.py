"""Inner arithmetic of the learners, compiled by Numba. Raw arrays in place, checked by the caller."""
