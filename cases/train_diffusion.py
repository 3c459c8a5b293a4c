"""Train a denoiser as the prior of an inverse problem: MRI, CT, or the source fields of a Poisson equation.

conjugo train diffusion --problem mri --volume ch2bet.nii.gz --device cuda
conjugo train diffusion --problem ct --volume Cranium.inv3 --reduced
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from conjugo.cases.diffusion_recipes import SETTINGS, Images, Size, images_of, rms
from conjugo.cases.launch import launch, training_command
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, significant
from conjugo.cases.training_curve import training_curve
from conjugo.learned.diffusion.imaging.batches import NoisyBatches, denoising_errors, denoising_loss, judged
from conjugo.learned.diffusion.imaging.unet import UNetDenoiser, UNetDenoiserConfig
from conjugo.learned.preconditioners.forward import available
from conjugo.learned.training.cards import write_card
from conjugo.learned.training.fit import FitConfig, History, fit
from conjugo.learned.training.models import save_model

type Row = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a denoiser; its weights and card go into the run's folder."""

    problem: Literal["mri", "ct", "source"] = "mri"
    """Complex MRI of brains, CT of a head, or Gaussian source fields."""
    volume: Path | None = None
    """The head trained on: NIfTI for MRI (without it MNI152 is shared out), an InVesalius project for CT."""
    phantoms: bool = False
    """Train on phantoms of ellipses instead; the volume is only tested on."""
    reduced: bool = False
    """A small network on 64^2 pixels, for a CPU; the full one sees 128^2 and wants a GPU."""
    size: int | None = None
    """Pixels along a side."""
    width: int | None = None
    """Features of the finest grid, a multiple of 32."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """Features of each grid, as multiples of the width."""
    blocks: int | None = None
    """Residual blocks a grid."""
    patch: int | None = None
    """Pixels along a side of a patch that the network sees as one."""
    dropout: float = 0.0
    """Share of features dropped in training."""
    steps: int | None = None
    """Optimiser steps."""
    batch: int | None = None
    """Images a step."""
    learning_rate: float | None = None
    """Largest rate (Adam, cosine)."""
    ema: float = 0.999
    """Decay of the running average of the weights, which is what is kept."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Of the network's products in training."""
    compile: bool = False
    """Pass the network through torch.compile in training."""
    validate_every: int = 250
    """Steps between validations."""
    device: str = "cpu"
    """cpu or cuda."""
    half: bool = False
    """Store the weights in float16; what is scored is what was stored."""
    out: Path | None = None
    """Put weights and card there too, as diffusion_<problem>."""
    checkpoint: Path | None = None
    """Go on from this file where it exists, and write to it."""
    time_limit: float | None = None
    """Seconds of training after which it stops in good order."""
    seed: int = 0
    """Seed of weights, order, movements and noise."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A few steps on a tiny grid, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    config = settled(config)
    device = available(config.device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    run = Run("train_diffusion", config, config.folder)
    size, batch = chosen(config, "size"), chosen(config, "batch")
    images = images_of(
        config.problem, size=size, batch=batch, seed=config.seed, volume=config.volume, phantoms=config.phantoms,
        device=device,
    )  # fmt: skip
    torch.manual_seed(config.seed)
    model = UNetDenoiser(network(config, images)).to(device)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f"{images.name}: {count:,} parameters on {device}, {chosen(config, 'steps')} steps of {batch}")
    history = learn(config, model, images, device)
    weights = save_model(model, run.folder / "weights.safetensors", storage=torch.float16 if config.half else None,
                         **facts_of(config, images, history, device))  # fmt: skip
    if config.half:
        model.half().float()
    rows = scores(model, images)
    report(rows)
    card(config, weights, images, history, rows, count, device)
    history.save_csv(run.folder / "history.csv")
    run.result({"converged": True, "interrupted": history.interrupted, "parameters": count, "scores": rows,
                **facts_of(config, images, history, device)})  # fmt: skip
    if config.out is not None:
        publish(weights, config)
    figure = training_curve(history, ylabel="weighted error", title=images.name, validation=True)
    print(f"weights: {weights}\nplot: {run.plot(figure)}")
    return run.folder


def settled(config: Config) -> Config:
    """Fill in the options that were not given."""
    level: Size = "fast" if config.fast else "reduced" if config.reduced else "full"
    given = {name: getattr(config, name) for name in SETTINGS[level] if getattr(config, name, None) is not None}
    merged = {**SETTINGS[level], **({} if config.fast else given)}
    merged.pop("attention")
    return replace(config, **merged)


def chosen(config: Config, name: str) -> int:
    """Return a number that `settled` has filled in."""
    value = getattr(config, name)
    assert value is not None
    return int(value)


def network(config: Config, images: Images) -> UNetDenoiserConfig:
    """Return the network's settings."""
    full = not (config.reduced or config.fast)
    return UNetDenoiserConfig(
        size=chosen(config, "size"),
        channels=images.validation.shape[1],
        width=chosen(config, "width"),
        multipliers=config.multipliers,
        blocks=chosen(config, "blocks"),
        attention=SETTINGS["full"]["attention"] if full else (),
        patch=chosen(config, "patch"),
        dropout=config.dropout,
        sigma_data=images.sigma_data,
    )


def learn(config: Config, model: nn.Module, images: Images, device: torch.device) -> History:
    """Train by `fit`."""
    steps = chosen(config, "steps")
    assert config.precision is not None
    return fit(
        model,
        denoising_loss,
        NoisyBatches(clean=images.clean, sigma_data=images.sigma_data, seed=config.seed),
        config=FitConfig(
            steps=steps,
            learning_rate=float(config.learning_rate or 1e-3),
            warmup=min(200, steps // 10),
            ema=config.ema,
            precision=config.precision,
            compile=config.compile,
            validate_every=config.validate_every,
            checkpoint_every=config.validate_every,
            seed=config.seed,
            device=str(device),
            time_limit=config.time_limit,
        ),
        validation=judged(images.validation, images.sigma_data, seed=config.seed),
        checkpoint=config.checkpoint,
    )


def scores(model: nn.Module, images: Images) -> list[Row]:
    """Root mean square errors by noise level, on the images validated and tested on."""
    linear = "exact" if images.exact else "Wiener"
    sets = {"validation": images.validation, "test": images.test}
    errors = {
        (name, part): denoising_errors(denoiser, sets[part], seed=1)
        for part in sets
        for name, denoiser in (("network", model), (linear, images.linear))
    }
    rows = []
    for level in errors["network", "test"]:
        row = {"noise": level}
        for part, held_out in sets.items():
            row[f"constant, {part}"] = rms(held_out - torch.as_tensor(images.linear.mean).to(held_out))
            row |= {f"{name}, {part}": errors[name, part][level] for name in (linear, "network")}
        if images.exact:
            ratio = row["network, test"] / row["exact, test"]
            row["excess of the square, test"] = ratio**2 - 1
        rows.append(row)
    return rows


def report(rows: list[Row]) -> None:
    """Print the scores, and where the network loses."""
    table = Table(list(rows[0]))
    for row in rows:
        table.add(*(significant(value) for value in row.values()))
    print(f"\n{table.text()}\n")
    if "Wiener, test" in rows[0]:
        for part in ("validation", "test"):
            lost = [row["noise"] for row in rows if row[f"network, {part}"] >= row[f"Wiener, {part}"]]
            print(f"{part}: " + (f"worse than the linear denoiser at noise {lost}" if lost else
                                 "better than the linear denoiser at every noise level"))  # fmt: skip


def facts_of(config: Config, images: Images, history: History, device: torch.device) -> dict[str, Any]:
    """What the file of weights says of itself."""
    return {
        "problem": config.problem,
        "images": images.name,
        "seed": config.seed,
        "steps": len(history.steps),
        "train_seconds": round(history.seconds, 1),
        "trained_on": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU ({torch.get_num_threads()} threads)",
        "validation": float(history.validation[:, 1].min()),
    }


def card(
    config: Config, weights: Path, images: Images, history: History, rows: list[Row], parameters: int,
    device: torch.device,
) -> None:  # fmt: skip
    """Write the model card beside the weights."""
    size, steps = chosen(config, "size"), chosen(config, "steps")
    limits = ["Scores are root mean square errors; 'constant' is what the mean of the training images scores."]
    if not images.exact:
        limits += [
            "One head was trained on: what it learned of anatomy is that head's, moved, turned and shaded.",
            "'Wiener' is the best denoiser that is diagonal in the cosine transform, measured on the training images.",
        ]
    if config.problem == "mri":
        limits.append("Phases are drawn (smooth cosines), coils and noise simulated: no measured k-space was seen.")
    write_card(
        weights,
        summary=f"A denoiser D(x, sigma) of {CONTENTS[config.problem]}, {size} x {size} pixels: a diffusion prior.",
        data=f"Images: {images.name}. {steps} steps of {config.batch}, {config.precision}, "
        f"ln(sigma) ~ N(-1.2, 1.8^2), weights averaged with decay {config.ema:g}.{SOURCES[config.problem]}",
        command=training_command("diffusion"),
        seed=config.seed,
        seconds=history.seconds,
        device=str(facts_of(config, images, history, device)["trained_on"]),
        parameters=parameters,
        scores=rows,
        limits=limits,
    )


CONTENTS = {
    "mri": "complex MRI of brains without skull (two channels)",
    "ct": "CT of a head, -1000 to 2000 HU as 0 to 1",
    "source": "source fields",
}
"""What is denoised."""

SOURCES = {
    "mri": " Sources: Colin27 (ch2bet of MRIcron, Debian's mricron-data, BSD-3-Clause overall; Holmes et al. 1998) "
    "where it was given as the volume; the MNI152 average (nilearn's copy, ICBM notice; Fonov et al. 2011).",
    "ct": " Source: the volume Cranium of InVesalius's examples (Debian's invesalius-examples, GPL-2): these weights "
    "were derived from it; the volume itself is not shipped.",
    "source": " Drawn by `matern_field`; no data.",
}
"""Where the volumes come from, and under which terms."""


def publish(weights: Path, config: Config) -> None:
    """Copy weights and card to the folder of weights."""
    assert config.out is not None
    config.out.mkdir(parents=True, exist_ok=True)
    name = f"diffusion_{config.problem}" + ("_phantoms" if config.phantoms else "")
    shutil.copyfile(weights, config.out / f"{name}.safetensors")
    text = weights.with_suffix(".md").read_text()
    (config.out / f"{name}.md").write_text(text.replace(f"# {weights.stem}", f"# {name}", 1))


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
