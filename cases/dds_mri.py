"""Accelerated MRI with a diffusion prior: DDS, deepinv's samplers, and ours, beside numerics alone.

conjugo dds-mri
conjugo dds-mri --volume ch2bet.nii.gz --acceleration 8
conjugo dds-mri --prior gaussian
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from conjugo.cases.imaging_run import compare
from conjugo.cases.imaging_scene import Prior, build, images_for, network
from conjugo.cases.launch import launch
from conjugo.cases.runs import Run
from conjugo.learned.diffusion.imaging.masks import Pattern
from conjugo.learned.diffusion.imaging.physics import mri
from conjugo.learned.preconditioners.forward import available


@dataclass(frozen=True, kw_only=True)
class Config:
    """Reconstruct brains from a quarter of the columns of k-space, with coils, phases and noise that are simulated."""

    volume: Path | None = None
    """Another head (NIfTI) to fit and choose on: then all of MNI152 is tested on, without it only its middle third."""
    phantoms: bool = False
    """Ellipse phantoms instead of brains."""
    prior: Prior = "network"
    """The trained denoiser, or the Gaussian with the training slices' mean and spectrum."""
    weights: Path | None = None
    """Another file of weights."""
    size: int = 64
    """Pixels along a side, where the prior is no network: a network brings its own."""
    coils: int = 4
    """Coils."""
    acceleration: float = 4.0
    """Columns of k-space for each one that is kept."""
    pattern: Pattern = "uniform1d"
    """Which columns are kept."""
    noise: float = 0.02
    """Standard deviation of each number of the data; the brightest voxel is 1."""
    test: int = 8
    """Slices to score."""
    validation: int = 4
    """Slices to choose settings by."""
    samples: int = 19
    """Samples of a slice where the spread is judged; 0 leaves that out."""
    tuning: Path | None = None
    """tuning.json of an earlier run with the same options: what it chose is not tuned again."""
    device: str = "cpu"
    """cpu or cuda."""
    seed: int = 0
    """Of the mask, phases, noise and samplers."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Small phantoms with a Gaussian prior, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, phantoms=True, prior="gaussian", size=16, test=2, validation=1, samples=4)
    device = available(config.device)
    model = network("mri", config.weights) if config.prior == "network" else None
    size = model.config.size if model is not None else config.size
    images = images_for("mri", size, volume=config.volume, phantoms=config.phantoms, seed=config.seed)
    A = mri(size, coils=config.coils, acceleration=config.acceleration, pattern=config.pattern, seed=config.seed)

    def zero_filled(y: Tensor) -> Tensor:
        scattered: Tensor = A.H @ y.T.contiguous()
        return scattered.T.reshape(len(y), *A.image_shape)

    scene = build(
        A, images, model, zero_filled, "zero-filled", noise=config.noise, relative=False,
        slices=(config.validation, config.test), seed=config.seed, device=torch.device(device),
    )  # fmt: skip
    run = Run("dds_mri", config, config.folder)
    facts = {"case": "dds_mri", "images": scene.name, "prior": scene.prior, "shape": list(A.shape),
             "noise": config.noise, "pattern": config.pattern, "validation": config.validation,
             "seed": config.seed}  # fmt: skip
    compare(run, scene, facts=facts, tuning=config.tuning, samples=config.samples, seed=config.seed, fast=config.fast)
    return run.folder


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
