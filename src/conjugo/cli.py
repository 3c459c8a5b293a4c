"""The installed command `conjugo`: it lists the cases and runs one; only that one is imported."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import conjugo

COMMANDS = {
    "solve": ("poisson", "solve one problem, or your own matrix, by one or several methods"),
    "compare": ("compare", "every method on one problem: a table and a convergence plot"),
    "learned": ("compare_learned", "learned preconditioners against the best classical ones, class by class"),
    "fem": ("poisson_fem", "finite elements on unstructured meshes (extra fem)"),
    "mpi": ("poisson_mpi", "distributed solves under mpiexec, equal to the serial answer (extra fem)"),
    "train": ("train", "train a model by name; without a name it lists them (extra learned)"),
    "smoke": ("smoke", "a plume of smoke among solids: every method on the same pressure solves"),
    "bench": ("bench", "speed and memory beside SciPy, PyAMG and PETSc"),
    "tune-heat": ("tune_heat", "tune CG while the heat equation is stepped, against fixed settings and an oracle"),
    "tune-sor": ("tune_sor", "learn relaxation factors for a stream of shifted Laplacians"),
    "tune-fem": ("tune_fem", "tune PETSc inside a dolfinx time loop (extra fem)"),
    "generate": ("generate", "samples for learned operators and dynamics, into one resumable file"),
    "operator-darcy": ("operator_darcy", "Darcy flow: trained operators beside finite differences on the same input"),
    "operator-navier-stokes": (
        "operator_navier_stokes",
        "turbulence ten steps ahead: operators beside a coarse solver",
    ),
    "bench-lsm": ("bench_operator", "a training step of the Latent Spectral Model in ten ways (extra learned)"),
    "warm-start": ("warm_start", "what a learned first guess saves, or loses, inside four solvers (extra learned)"),
    "koopman-duffing": ("koopman_duffing", "linear models of the Duffing equation: errors, eigenfunctions, spectra"),
    "koopman-ks": ("koopman_ks", "forecasts of the Kuramoto-Sivashinsky equation by linear models"),
    "initial-guess": ("initial_guess", "first guesses for the pressure systems of a flow: iterations that each saves"),
    "koopman-wake": ("koopman_wake", "Koopman models of a cylinder's wake: spectra, modes, forecasts (extra fem)"),
    "inverse-source": (
        "inverse_source",
        "diffusion samplers beside the exact posterior: sources from sensors (extra learned)",
    ),
    "inverse-heat": ("inverse_heat", "backward heat: diffusion samplers beside the exact posterior (extra learned)"),
    "dds-mri": ("dds_mri", "accelerated MRI with a diffusion prior: DDS, its peers and ours (extra imaging)"),
    "dds-ct": ("dds_ct", "CT of few views with a diffusion prior: DDS, its peers and ours (extra imaging)"),
    "warmup": ("warmup", "compile the kernels once, so that later runs start at once"),
}
"""Sub-command: its module in `conjugo.cases`, and a line of help; `train` has modules of its own in `TRAINING`."""

TRAINING: dict[str, tuple[str, str]] = {
    "dcdm": ("train_dcdm", "a direction network for flexible conjugate gradients"),
    "multigrid": ("train_multigrid", "the set-up network of the learned V-cycle"),
    "operator": ("train_operator", "neural operators for Darcy flow and for the vorticity equation"),
    "basis": ("train_basis", "a network that proposes local coarse vectors for enriched multigrid"),
    "lran": ("train_lran", "a linearly recurrent autoencoder of the Duffing or the Kuramoto-Sivashinsky equation"),
    "diffusion": ("train_diffusion", "a denoiser as prior of MRI, CT or source fields (extra imaging)"),
}
"""Name for `conjugo train`: its module in `conjugo.cases`, and a line of help."""


def usage() -> str:
    """Return the list of commands."""
    lines = [f"  conjugo {name:<23}{summary}" for name, (_, summary) in COMMANDS.items()]
    head = f"conjugo {conjugo.__version__}: classical and learned solvers for partial differential equations"
    tail = "Each takes --help, and all but warmup take --fast. Results go to runs/<case>/<time>/."
    return "\n".join([head, "", *lines, "", tail])


def training_usage() -> str:
    """Return the list of models that can be trained."""
    lines = [f"  conjugo train {name:<12}{summary}" for name, (_, summary) in TRAINING.items()]
    tail = "Each takes --help and --fast. torchrun starts it on several processes: see docs/training.md."
    return "\n".join(["conjugo train NAME trains a model; the names:", "", *lines, "", tail])


def main(args: list[str] | None = None) -> int:
    """Run a case.

    Parameters
    ----------
    args : list of str, optional
        Sub-command and its options; default those of this process.

    Returns
    -------
    int
        Exit code: 0 solved, 1 not converged, 2 bad input, 130 after Ctrl-C.
    """
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if args[0] in ("-V", "--version"):
        print(conjugo.__version__)
        return 0
    if args[0] not in COMMANDS:
        print(f"conjugo: there is no command {args[0]!r}; these exist: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    if args[0] == "train":
        return train(args[1:])
    return run(COMMANDS[args[0]][0], args[1:], f"conjugo {args[0]}")


def train(args: list[str]) -> int:
    """Run the training case that the first argument names; return its exit code."""
    if args and args[0] in ("-h", "--help"):
        print(training_usage())
        return 0
    if not args:
        print(training_usage(), file=sys.stderr)
        return 2
    if args[0] not in TRAINING:
        print(f"conjugo train: there is no model {args[0]!r}; these exist: {', '.join(TRAINING)}", file=sys.stderr)
        return 2
    return run(TRAINING[args[0]][0], args[1:], f"conjugo train {args[0]}", threads=("OPENBLAS_NUM_THREADS",))


def run(
    module: str, args: list[str], prog: str, threads: tuple[str, ...] = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
) -> int:
    """Run a case with one thread for those libraries that no variable tells otherwise; return its exit code."""
    for name in threads:
        os.environ.setdefault(name, "1")  # before NumPy loads: BLAS threads on short vectors cost up to a hundredfold
    from conjugo.cases.launch import launch

    case = import_module(f"conjugo.cases.{module}")
    return launch(case.Config, case.main, args, prog)


if __name__ == "__main__":
    raise SystemExit(main())
