"""The methods of deepinv, and conjugate-gradient SENSE, behind one signature: baselines on the same data."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from conjugo.learned.diffusion.imaging.counted import CountedProblem, Counts, Denoise
from conjugo.learned.operators.batches import seeded
from conjugo.solvers import cg


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """What a method returned.

    Attributes
    ----------
    x : Tensor, (B, *image_shape)
        Images.
    evaluations, backward, applications : int
        Passes of the network, passes back through it, and products with A or its adjoint, each of the whole batch.
    seconds : float
        Wall clock of the whole batch.
    """

    x: Tensor
    evaluations: int
    backward: int
    applications: int
    seconds: float


type Run = Callable[..., Reconstruction]
"""run(y, steps=, seed=, **settings): measurements (B, m) to images by so many steps, with the settings by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A method with what there is to choose in it.

    Attributes
    ----------
    name : str
        As in tables.
    run : callable
        run(y, steps=, seed=, **settings) -> Reconstruction.
    budgets : tuple of int
        Numbers of steps to run it with; (0,) where there are none.
    grid : mapping of str to tuple
        The values of every setting to choose among; the first ones are the defaults.
    family : str
        For colours in pictures.
    """

    name: str
    run: Run
    budgets: tuple[int, ...] = (0,)
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    family: str = "deepinv"

    def defaults(self) -> dict[str, Any]:
        """Return the first value of every setting."""
        return {name: values[0] for name, values in self.grid.items()}


def dps(A: Any, denoiser: Denoise, sigma: float, *, scale: float = 1.0, budgets: tuple[int, ...] = (50,)) -> Method:
    """Diffusion posterior sampling, by deepinv's `DPSDataFidelity` in its `PosteriorDiffusion`.

    Parameters
    ----------
    A : measurement
        Linear and real; see `CountedProblem`.
    denoiser : callable
        (x (B, *image_shape), sigma) to the conditional mean.
    sigma : float
        Standard deviation of the noise in y.
    scale : float
        Standard deviation of the images: the samplers suppose about 1.
    budgets : tuple of int
        Numbers of evaluations.

    Returns
    -------
    Method

    Notes
    -----
    deepinv's class `DPS` clips the denoised image to [-1, 1], whatever its units; here nothing is clipped. The weights
    of the two forms of guidance are on very different scales, so both are in the grid with weights of their own.

    References
    ----------
    Chung, Kim, McCann, Klasky and Ye, Diffusion posterior sampling for general noisy inverse problems, ICLR 2023.

    Examples
    --------
    >>> method = dps(None, lambda x, sigma: x, 0.1)
    >>> method.name, method.defaults()
    ('DPS', {'guidance': ('annealed', 1.0), 'eta': 1.0})
    """
    grid = {"guidance": (("annealed", 1.0), ("annealed", 3.0), ("norm", 100.0), ("norm", 300.0)), "eta": (1.0,)}

    def fidelity(guidance: tuple[str, float]) -> Any:
        return import_module("deepinv.sampling").DPSDataFidelity(guidance=guidance[0], weight=guidance[1])

    return Method("DPS", _posterior(A, denoiser, sigma, scale, fidelity), budgets, grid)


def pigdm(
    A: Any, denoiser: Denoise, sigma: float, *, scale: float = 1.0, budgets: tuple[int, ...] = (19, 49)
) -> Method:
    """Pseudo-inverse guidance, by deepinv's `PiGDMDataFidelity`; parameters as in `dps`.

    Notes
    -----
    Its r_t^2 = sigma_t^2 / (1 + sigma_t^2) is the error of the best linear denoiser of white images of unit variance,
    hence the scale.

    References
    ----------
    Song, Vahdat, Mardani and Kautz, Pseudoinverse-guided diffusion models for inverse problems, ICLR 2023.
    """
    grid = {"weight": (1.0, 0.5, 2.0), "eta": (1.0, 0.5, 0.0), "iterations": (10, 3, 30)}

    def fidelity(weight: float, iterations: int) -> Any:
        return import_module("deepinv.sampling").PiGDMDataFidelity(weight=weight, cg_max_iter=iterations)

    return Method("PiGDM", _posterior(A, denoiser, sigma, scale, fidelity), budgets, grid)


def moment_matching(
    A: Any, denoiser: Denoise, sigma: float, *, scale: float = 1.0, budgets: tuple[int, ...] = (9, 19)
) -> Method:
    """Moment matching, by deepinv's `MomentMatchingDataFidelity`; parameters as in `dps`.

    Notes
    -----
    Every iteration of its CG goes back through the network once.

    References
    ----------
    Rozet, Andry, Lanusse and Louppe, Learning diffusion priors from observations by expectation maximization,
    NeurIPS 2024.
    """
    grid = {"weight": (1.0, 0.5), "eta": (1.0, 0.5, 0.0), "iterations": (3, 6)}

    def fidelity(weight: float, iterations: int) -> Any:
        return import_module("deepinv.sampling").MomentMatchingDataFidelity(weight=weight, cg_max_iter=iterations)

    return Method("MomentMatching", _posterior(A, denoiser, sigma, scale, fidelity), budgets, grid)


def _posterior(A: Any, denoiser: Denoise, sigma: float, scale: float, fidelity: Callable[..., Any]) -> Run:
    """Sample by deepinv's `PosteriorDiffusion` with the guidance that `fidelity(**settings)` makes."""

    def run(y: Tensor, *, steps: int, seed: int, eta: float, **settings: Any) -> Reconstruction:
        dinv = import_module("deepinv.sampling")
        problem = CountedProblem(A, denoiser, sigma, scale=scale)
        # the last of steps + 1 times is zero, where the state is the denoised image itself
        solver = dinv.DDIMSolver(torch.linspace(1, 0, steps + 1), eta=eta, rng=seeded(seed))
        sde = dinv.VariancePreservingDiffusion(dtype=torch.float32)
        started = time.perf_counter()
        sampler = dinv.PosteriorDiffusion(
            data_fidelity=fidelity(**settings),
            denoiser=_module(problem),
            sde=sde,
            solver=solver,
            dtype=torch.float32,
            minus_one_one=False,
        )
        u = sampler(problem.data(y), problem.physics, x_init=(len(y), *problem.image_shape))
        return _finish(problem.image(u.detach()), problem.counts, started)

    return run


def diffpir(
    A: Any, denoiser: Denoise, sigma: float, *, low: float = 0.0, high: float = 1.0, budgets: tuple[int, ...] = (19, 49)
) -> Method:
    """DiffPIR, by deepinv's class, for images whose values lie between `low` and `high`; parameters as in `dps`.

    Notes
    -----
    deepinv works on [0, 1] and clips there, so images of either sign are shifted first. Its last evaluation is not
    used: the state of the step before is returned, with noise of standard deviation 0.005 (high - low). A seed of zero
    would be ignored by it, and others set for the whole process: here the generator's state is put back.

    References
    ----------
    Zhu et al., Denoising diffusion models for plug-and-play image restoration, CVPR workshops 2023, algorithm 1.
    """
    grid = {"weight": (7.0, 3.0, 1.0, 15.0, 0.3), "zeta": (0.1, 0.5, 0.9)}

    def run(y: Tensor, *, steps: int, seed: int, weight: float, zeta: float) -> Reconstruction:
        dinv = import_module("deepinv")
        problem = CountedProblem(A, denoiser, sigma, offset=low, scale=high - low)
        started = time.perf_counter()
        sampler = dinv.sampling.DiffPIR(
            _module(problem), dinv.optim.data_fidelity.L2(), max_iter=steps, zeta=zeta, lambda_=weight,
            sigma=sigma / (high - low), device=y.device,
        )  # fmt: skip
        start = torch.full((len(y), *problem.image_shape), 0.5, dtype=y.dtype, device=y.device)
        with torch.random.fork_rng(devices=[y.device] if y.is_cuda else []):
            torch.manual_seed(seed)
            u = sampler(problem.data(y), problem.physics, x_init=start)
        return _finish(problem.image(u), problem.counts, started)

    return Method("DiffPIR", run, budgets, grid)


def total_variation(A: Any, sigma: float, *, squared_norm: float, budgets: tuple[int, ...] = (100,)) -> Method:
    """Least squares with total variation, by deepinv's `FISTA` and `TVPrior`.

    Parameters
    ----------
    A : measurement
        Linear and real.
    sigma : float
        Standard deviation of the noise; not used, since the weight is tuned.
    squared_norm : float
        Of A; the step is its inverse.
    budgets : tuple of int
        Iterations.

    Notes
    -----
    Minimises ||A x - y||^2 / 2 + weight TV(x); channels have no gradient in common.

    References
    ----------
    Beck and Teboulle, IEEE Trans. Image Process. 18 (2009), 2419-2434.
    """
    grid = {"weight": (1e-2, 3e-2, 3e-3, 1e-1, 1e-3)}

    def run(y: Tensor, *, steps: int, seed: int, weight: float) -> Reconstruction:
        optim = import_module("deepinv.optim")
        problem = CountedProblem(A, None, sigma)
        started = time.perf_counter()
        solver = optim.FISTA(
            data_fidelity=import_module("deepinv.optim.data_fidelity").L2(),
            prior=optim.prior.TVPrior(n_it_max=20),
            lambda_reg=weight,
            stepsize=1.0 / squared_norm,
            max_iter=steps,
        )
        with torch.no_grad():
            u = solver(y, problem.physics)
        return _finish(problem.image(u), problem.counts, started)

    return Method("TV", run, budgets, grid, "numerics")


def cg_sense(A: Any, *, budgets: tuple[int, ...] = (30,)) -> Method:
    """Tikhonov least squares, (A^H A + weight I) x = A^H y, by our `cg`: CG-SENSE where A is multi-coil MRI.

    Notes
    -----
    The weight and the budget of iterations both regularise; the weight is tuned.

    References
    ----------
    Pruessmann, Weiger, Bornert and Boesiger, Magn. Reson. Med. 46 (2001), 638-651.
    """
    grid = {"weight": (1e-2, 1e-3, 1e-1, 1.0)}

    def run(y: Tensor, *, steps: int, seed: int, weight: float) -> Reconstruction:
        normal = _Shifted(A, weight)
        started = time.perf_counter()
        with torch.no_grad():
            b = A.H @ y.T.contiguous()
            normal.counts.adjoint_products += 1
            x = cg(normal, b, rtol=0.0, maxiter=steps).x
        return _finish(x.T.reshape(len(y), *A.image_shape), normal.counts, started)

    return Method("CG-SENSE", run, budgets, grid, "numerics")


class _Shifted:
    """A^H A + shift I, which counts."""

    def __init__(self, A: Any, shift: float) -> None:
        self.A, self.shift, self.counts = A, shift, Counts()
        self.shape = (A.shape[1], A.shape[1])

    def __matmul__(self, x: Tensor) -> Tensor:
        self.counts.forward_products += 1
        self.counts.adjoint_products += 1
        product: Tensor = self.A.H @ (self.A @ x)
        return product + self.shift * x


def _module(problem: CountedProblem) -> torch.nn.Module:
    """Wrap the denoiser as a module, which deepinv's classes register."""

    class Denoiser(torch.nn.Module):
        def forward(self, x: Tensor, sigma: Tensor | float, *args: Any, **kwargs: Any) -> Tensor:
            return problem.denoiser(x, sigma)

    return Denoiser()


def _finish(x: Tensor, counts: Counts, started: float) -> Reconstruction:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    seconds = time.perf_counter() - started
    return Reconstruction(x, counts.evaluations, counts.backward, counts.applications, seconds)
