"""The product of a variable stencil. Unvalidated."""

from __future__ import annotations

from conjugo.solvers.triton.language import jit, tl


@jit()
def both_ways(x, upper, lower, at, i, n, stride, inside, SYMMETRIC: tl.constexpr):
    """Share of one axis, upper[at] x[after] + lower[at] x[before]; SYMMETRIC takes upper[before] for the latter."""
    after = at + tl.where(i == n - 1, 1 - n, 1) * stride
    before = at + tl.where(i == 0, n - 1, -1) * stride
    t = tl.load(upper + at, mask=inside, other=0.0) * tl.load(x + after, mask=inside, other=0.0)
    where = before if SYMMETRIC else at
    return t + tl.load(lower + where, mask=inside, other=0.0) * tl.load(x + before, mask=inside, other=0.0)


@jit(fixed=("n", "n0", "n1", "n2"))
def variable_product(
    out, x, diag, u0, u1, u2, l0, l1, l2, n, n0, n1, n2, SYMMETRIC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out = A x."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    k, line = at % n2, at // n2
    t = tl.load(diag + at, mask=inside, other=0.0) * tl.load(x + at, mask=inside, other=0.0)
    t += both_ways(x, u2, l2, at, k, n2, 1, inside, SYMMETRIC)
    if n1 > 1:
        t += both_ways(x, u1, l1, at, line % n1, n1, n2, inside, SYMMETRIC)
    if n0 > 1:
        t += both_ways(x, u0, l0, at, line // n1, n0, n1 * n2, inside, SYMMETRIC)
    tl.store(out + at, t, mask=inside)
