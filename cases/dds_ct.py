"""CT of few views with a diffusion prior: DDS, deepinv's samplers, and ours, beside numerics alone.

conjugo dds-ct --volume Cranium.inv3
conjugo dds-ct --phantoms --prior gaussian
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
from conjugo.learned.diffusion.imaging.physics import tomography
from conjugo.learned.preconditioners.forward import available


@dataclass(frozen=True, kw_only=True)
class Config:
    """Reconstruct a head from parallel projections of few views."""

    volume: Path | None = None
    """The head: an InVesalius project, say Cranium.inv3 of Debian's package invesalius-examples."""
    phantoms: bool = False
    """Ellipse phantoms instead: no file is needed."""
    prior: Prior = "network"
    """The trained denoiser, or the Gaussian with the training slices' mean and spectrum."""
    weights: Path | None = None
    """Another file of weights."""
    size: int = 64
    """Pixels along a side, where the prior is no network: a network brings its own."""
    views: int = 10
    """Angles, evenly over 180 degrees."""
    noise: float = 0.01
    """Standard deviation of the noise, relative to the root mean square of the data."""
    test: int = 8
    """Slices to score."""
    validation: int = 4
    """Slices to choose settings by."""
    samples: int = 19
    """Samples of a slice where the spread is judged; 0 leaves that out."""
    volume_tv: bool = False
    """Reconstruct a stack of neighbouring slices too, with total variation across them (the published 3-D variant)."""
    tuning: Path | None = None
    """tuning.json of an earlier run with the same options: what it chose is not tuned again."""
    device: str = "cpu"
    """cpu or cuda."""
    seed: int = 0
    """Of the noise and the samplers."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Small phantoms with a Gaussian prior, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, phantoms=True, prior="gaussian", size=16, views=6, test=2, validation=1, samples=4)
    if config.volume is None and not config.phantoms:
        raise ValueError(
            "dds-ct needs a head: pass --volume Cranium.inv3 (an InVesalius project, as in Debian's package "
            "invesalius-examples), or --phantoms for random ellipses"
        )
    if config.volume_tv and config.phantoms:
        raise ValueError("phantoms are no neighbours of one another: --volume-tv needs --volume")
    device = available(config.device)
    model = network("ct", config.weights) if config.prior == "network" else None
    size = model.config.size if model is not None else config.size
    images = images_for("ct", size, volume=config.volume, phantoms=config.phantoms, seed=config.seed)
    A = tomography(size, views=config.views)

    def filtered(y: Tensor) -> Tensor:
        physics = A.physics.to(y.device)
        found: Tensor = physics.fbp(A.unpacked(y))
        return found.reshape(len(y), *A.image_shape)

    scene = build(
        A, images, model, filtered, "FBP", noise=config.noise, relative=True,
        slices=(config.validation, config.test), seed=config.seed, device=torch.device(device),
    )  # fmt: skip
    run = Run("dds_ct", config, config.folder)
    facts = {"case": "dds_ct", "images": scene.name, "prior": scene.prior, "shape": list(A.shape),
             "noise": config.noise, "validation": config.validation, "seed": config.seed}  # fmt: skip
    compare(run, scene, facts=facts, tuning=config.tuning, samples=config.samples, seed=config.seed, fast=config.fast,
            stack=(images.validation, images.test) if config.volume_tv else None)  # fmt: skip
    return run.folder


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
