"""PETSc's structured grids (DMDA): the Poisson matrix of a box, distributed over a communicator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class BoxPoisson:
    """-Δu scaled by h² on cubes of side h, by 2 d + 1 points with u = 0 on the faces, on a PETSc DMDA.

    The nodes on the faces stay in the system with rows of the identity, so that powers of two of cells coarsen.

    Parameters
    ----------
    cells : sequence of int
        Cubes along x, y (and z); the last is as long as 1.
    comm : mpi4py communicator
        Who shares the work.
    """

    def __init__(self, cells: Sequence[int], comm: Any) -> None:
        from petsc4py import PETSc

        self.cells, self.comm = tuple(cells), comm
        self.h = 1.0 / self.cells[-1]
        self.da = PETSc.DMDA().create([n + 1 for n in self.cells], dof=1, stencil_width=1, comm=comm)
        self.A = self._matrix(PETSc)

    @property
    def unknowns(self) -> int:
        """Nodes inside the box."""
        return int(np.prod([n - 1 for n in self.cells]))

    @property
    def levels(self) -> int:
        """Multigrid levels that halving the cells gives, down to two cells along an axis."""
        smallest, count = min(self.cells), 1
        while all(n % 2**count == 0 for n in self.cells) and smallest // 2**count >= 2:
            count += 1
        return count

    def vector(self, inside: NDArray[np.float64] | None = None) -> Any:
        """Return a vector: zero, or this process's part of a field over the inner nodes, indexed [x, y(, z)]."""
        v = self.da.createGlobalVec()
        if inside is not None:
            padded = np.pad(inside, 1)
            local = padded[tuple(slice(lo, hi) for lo, hi in self.da.getRanges())]
            v.setArray(local.ravel(order="F"))
        return v

    def coordinates(self) -> list[NDArray[np.float64]]:
        """Coordinates of this process's nodes, one array an axis, that broadcast to [x, y(, z)]."""
        axes = [self.h * np.arange(lo, hi) for lo, hi in self.da.getRanges()]
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))

    def gather(self, v: Any) -> NDArray[np.float64]:
        """Return the whole vector on rank 0, indexed [x, y(, z)] over the inner nodes; empty elsewhere."""
        from petsc4py import PETSc

        natural = self.da.createNaturalVec()
        self.da.globalToNatural(v, natural)
        scatter, whole = PETSc.Scatter.toZero(natural)
        scatter.scatter(natural, whole)
        if self.comm.rank != 0:
            return np.zeros(0)
        full = whole.getArray().reshape([n + 1 for n in self.cells], order="F")
        return np.ascontiguousarray(full[(slice(1, -1),) * len(self.cells)])

    def solver(self, options: dict[str, Any], rtol: float, prefix: str = "box_") -> Any:
        """Return a KSP for this matrix that stops at the true (unpreconditioned) residual.

        Parameters
        ----------
        options : dict
            PETSc options without the leading dash; with pc_type mg the grid gives the levels.
        rtol : float
            Relative tolerance.
        prefix : str
            Keeps these options apart from others' in the same process.
        """
        from petsc4py import PETSc

        table = PETSc.Options(prefix)
        for key, value in options.items():
            table[key] = value
        ksp = PETSc.KSP().create(self.comm)
        ksp.setOptionsPrefix(prefix)
        ksp.setOperators(self.A)
        if options.get("pc_type") == "mg":
            table["pc_mg_levels"] = self.levels
            ksp.setDM(self.da)
            ksp.setDMActive(PETSc.KSP.DMActive.ALL, False)
        ksp.setTolerances(rtol=rtol, atol=0.0, max_it=500)
        ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        ksp.setFromOptions()
        ksp.setUp()
        for key in table.getAll():
            table.delValue(key)
        return ksp

    def _matrix(self, PETSc: Any) -> Any:
        """Assemble this process's rows from index arrays, without a loop over nodes."""
        ranges, ghosts = self.da.getRanges(), self.da.getGhostRanges()
        extent = [hi - lo for lo, hi in ghosts]
        number = self.da.getLGMap().getIndices().reshape(extent, order="F")
        nodes = np.meshgrid(*[np.arange(lo, hi) for lo, hi in ranges], indexing="ij")
        inside = self._inside(nodes)
        columns, values, kept = [], [], []
        for step in self._steps():
            there = [i + s for i, s in zip(nodes, step, strict=True)]
            centre = not any(step)
            valid = np.ones_like(inside) if centre else inside & self._inside(there)
            local = tuple(np.clip(i - lo, 0, n - 1) for i, (lo, _), n in zip(there, ghosts, extent, strict=True))
            columns.append(number[local].ravel(order="F"))
            values.append(np.full(inside.size, 2.0 * len(step) if centre else -1.0))
            kept.append(valid.ravel(order="F"))
        keep = np.stack(kept, axis=1)
        starts = np.concatenate([[0], np.cumsum(keep.sum(axis=1))]).astype(PETSc.IntType)
        csr = (starts, np.stack(columns, axis=1)[keep].astype(PETSc.IntType), np.stack(values, axis=1)[keep])
        size = (inside.size, int(np.prod([n + 1 for n in self.cells])))
        A = PETSc.Mat().createAIJ((size, size), csr=csr, comm=self.comm)
        A.setOption(PETSc.Mat.Option.SPD, True)
        return A

    def _inside(self, nodes: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
        tests = [(i > 0) & (i < n) for i, n in zip(nodes, self.cells, strict=True)]
        return np.asarray(np.logical_and.reduce(tests))

    def _steps(self) -> list[tuple[int, ...]]:
        """The 2 d + 1 points of the stencil, as offsets along x, y (and z)."""
        d = len(self.cells)
        unit = np.eye(d, dtype=int)
        return [tuple(int(s) for s in step) for step in [np.zeros(d, dtype=int), *unit, *-unit]]
