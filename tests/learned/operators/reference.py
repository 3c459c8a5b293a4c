"""The Latent Spectral Model written a second time, plainly: loops for the block, library calls for the rest."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def block(x: Tensor, p: dict[str, Tensor], patch: tuple[int, ...], heads: int) -> Tensor:
    """One neural spectral block, sample by sample, patch by patch, head by head, channel by channel."""
    y = x.clone()
    C, c = x.shape[1], x.shape[1] // heads
    weight, bias = p["project.weight"].reshape(3, C, C), p["project.bias"].reshape(3, C)
    M = p["spectral"].shape[1] // 2
    counts = [range(n // q) for n, q in zip(x.shape[2:], patch, strict=True)]
    for b in range(len(x)):
        for place in itertools.product(*counts):
            where: tuple[Any, ...] = tuple(slice(i * q, (i + 1) * q) for i, q in zip(place, patch, strict=True))
            pixels = x[b][(slice(None), *where)].reshape(C, -1).T  # (L, C)
            K, V, Q = (pixels @ weight[i].T + bias[i] for i in range(3))
            out = torch.empty_like(pixels)
            for h in range(heads):
                own = slice(h * c, (h + 1) * c)
                T0 = p["latent"][h]
                T = T0 + torch.softmax(T0 @ K[:, own].T, dim=1) @ V[:, own]
                t = T.clone()
                for channel, m in itertools.product(range(c), range(M)):
                    angle = math.pi * m * T[:, channel] / M
                    w = p["spectral"][h * c + channel]
                    t[:, channel] += w[m] * torch.sin(angle) + w[M + m] * torch.cos(angle)
                out[:, own] = torch.softmax(Q[:, own] @ t.T, dim=1) @ t
            y[b][(slice(None), *where)] += out.T.reshape(C, *patch)
    return y


def patches(x: Tensor, patch: tuple[int, ...]) -> Tensor:
    """View of x as (batch, C, *counts, *patch)."""
    for axis, size in enumerate(patch, 2):
        x = x.unfold(axis, size, size)
    return x


def block_at_once(x: Tensor, p: dict[str, Tensor], patch: tuple[int, ...], heads: int) -> Tensor:
    """The same in the paper's order, all patches at once: keys, values and queries of every pixel."""
    d, M = len(patch), p["spectral"].shape[1] // 2
    qkv = torch.einsum("oc,bc...->bo...", p["project.weight"].flatten(1), x)
    qkv = qkv + p["project.bias"].reshape(-1, *(1,) * d)
    K, V, Q = (patches(part, patch).flatten(2 + d).flatten(2, 1 + d) for part in qkv.chunk(3, dim=1))
    K, V, Q = (part.reshape(len(x), heads, -1, *part.shape[2:]) for part in (K, V, Q))  # (b, h, c, patches, L)
    share = torch.softmax(torch.einsum("hsc,bhcpl->bhspl", p["latent"], K), dim=-1)
    T = p["latent"].mT[None, ..., None] + torch.einsum("bhspl,bhcpl->bhcsp", share, V)
    angle = torch.arange(M, dtype=x.dtype) * math.pi / M * T[..., None]
    series = torch.cat([angle.sin(), angle.cos()], dim=-1)
    t = T + torch.einsum("bhcspm,hcm->bhcsp", series, p["spectral"].reshape(heads, -1, 2 * M))
    back = torch.softmax(torch.einsum("bhcpl,bhcsp->bhspl", Q, t), dim=2)
    y = x.clone()
    view = patches(y, patch)
    view += torch.einsum("bhspl,bhcsp->bhcpl", back, t).reshape(view.shape)
    return y


def lsm(a: Tensor, p: dict[str, Tensor], heads: int, norm: bool) -> Tensor:
    """The whole model from its tensors; `norm` says whether batch normalisation takes the batch's statistics."""
    d = a.ndim - 2
    conv: Any = functional.conv2d if d == 2 else functional.conv3d
    pool: Any = functional.max_pool2d if d == 2 else functional.max_pool3d
    mode = "bilinear" if d == 2 else "trilinear"

    def double_conv(x: Tensor, name: str) -> Tensor:
        for i in (0, 3):
            x = conv(x, p[f"{name}.{i}.weight"], padding=1)
            mean, var = (p[f"{name}.{i + 1}.running_{what}"].clone() for what in ("mean", "var"))
            scale, shift = p[f"{name}.{i + 1}.weight"], p[f"{name}.{i + 1}.bias"]
            x = functional.relu(functional.batch_norm(x, mean, var, scale, shift, training=norm))
        return x

    def spectral(x: Tensor, level: int) -> Tensor:
        name = f"unet.blocks.{level}."
        return block_at_once(x, {k.removeprefix(name): v for k, v in p.items() if k.startswith(name)}, patch, heads)

    grids = [torch.linspace(0, 1, n, dtype=a.dtype) for n in a.shape[2:]]
    mesh = torch.stack(torch.meshgrid(*grids, indexing="ij"))
    x = torch.cat([(a - p["scaling.mean_a"]) / p["scaling.scale_a"], mesh.expand(len(a), *mesh.shape)], dim=1)
    x = functional.linear(x.movedim(1, -1), p["lift.weight"], p["lift.bias"]).movedim(-1, 1)
    padded = [16 * math.ceil(n / 16) for n in a.shape[2:]]
    full = torch.zeros(*x.shape[:2], *padded, dtype=a.dtype)
    crop = (slice(None), slice(None), *(slice(n) for n in a.shape[2:]))
    full[crop] = x
    patch = tuple(n // 16 for n in padded)
    levels = [double_conv(full, "unet.down.0")]
    for k in range(1, 5):
        levels.append(double_conv(pool(levels[-1], 2), f"unet.down.{k}"))
    x = spectral(levels[4], 4)
    for k in range(4):
        x = functional.interpolate(x, scale_factor=2, mode=mode, align_corners=True)
        x = double_conv(torch.cat([spectral(levels[3 - k], 3 - k), x], dim=1), f"unet.up.{k}")
    x = conv(x, p["unet.last.weight"], p["unet.last.bias"])[crop].movedim(1, -1)
    x = functional.gelu(functional.linear(x, p["head.hidden.weight"], p["head.hidden.bias"]))
    y = functional.linear(x, p["head.out.weight"], p["head.out.bias"]).movedim(-1, 1)
    return y * p["scaling.scale_u"] + p["scaling.mean_u"]
