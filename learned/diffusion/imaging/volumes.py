"""Volumes of heads, in axial slices: the MNI152 average, NIfTI files, projects of InVesalius."""

from __future__ import annotations

import plistlib
import tarfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

type Values = NDArray[np.float32]

WINDOW = (-1000.0, 2000.0)
"""Hounsfield units shown as 0 and 1: air, and dense bone; water is 1/3."""

BRIGHTEST = 99.9
"""Percentile of the positive voxels that is shown as 1: what lies above it is clipped."""


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A volume of grey values.

    Parameters
    ----------
    values : (z, h, w) float32
        In [0, 1]; z goes through the axial slices, h from front to back, w from left to right.
    spacing : tuple of three floats
        Millimetres between voxels along z, h and w.
    name : str
        What it is.

    Raises
    ------
    ValueError
        For other shapes or values, NaN among them, or a spacing that is not positive.
    """

    values: Values
    spacing: tuple[float, float, float]
    name: str

    def __post_init__(self) -> None:
        values = self.values
        if values.ndim != 3 or values.dtype != np.float32 or values.size == 0:
            raise ValueError(f"{self.name}: values of shape {values.shape}, {values.dtype}: expected (z, h, w) float32")
        if not (values.min() >= 0 and values.max() <= 1):  # NaN fails too
            raise ValueError(f"{self.name}: values from {values.min()} to {values.max()}: expected them in [0, 1]")
        if len(self.spacing) != 3 or not all(0 < h < np.inf for h in self.spacing):
            raise ValueError(f"{self.name}: spacing = {self.spacing}: expected three positive numbers of millimetres")


def mni152() -> Volume:
    """Return the T1 average of 152 heads without skull that nilearn ships, 1 mm; nothing is downloaded.

    Raises
    ------
    ImportError
        If nilearn is not there.

    References
    ----------
    V. Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 54 (2011), 313-327.
    """
    try:
        datasets: Any = import_module("nilearn.datasets")
    except ImportError as error:
        raise ImportError("the MNI152 volume is a part of nilearn: install conjugo[imaging]") from error
    return _axial(datasets.load_mni152_template(resolution=1), "MNI152")


def nifti(path: Path | str) -> Volume:
    """Read a volume of magnitudes from a NIfTI file.

    Parameters
    ----------
    path : Path or str
        A file `*.nii` or `*.nii.gz` with one volume, say Colin27 (ch2bet.nii.gz of MRIcron: Debian's package
        mricron-data, folder usr/share/mricron/templates).

    Returns
    -------
    Volume
        Turned to axial slices by the file's affine; 0 stays 0, and the 99.9th percentile of the positive voxels is 1.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If nibabel is not there.
    ValueError
        If it is no NIfTI file, holds several volumes, NaN, or nothing that is positive.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {path}: give a NIfTI volume, say ch2bet.nii.gz of Debian's mricron-data"
        )
    try:
        nibabel: Any = import_module("nibabel")
    except ImportError as error:
        raise ImportError("NIfTI files need nibabel: install conjugo[imaging]") from error
    try:
        return _axial(nibabel.load(path), path.name.split(".")[0])
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError) as error:
        raise ValueError(f"{path} is no NIfTI file, or is damaged: {error}") from error


def invesalius(path: Path | str) -> Volume:
    """Read the CT volume of an InVesalius project.

    Parameters
    ----------
    path : Path or str
        A file `*.inv3`, say Cranium.inv3 (Debian's package invesalius-examples).

    Returns
    -------
    Volume
        Hounsfield units from -1000 to 2000 as 0 to 1, clipped; bottom slice first.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no project of InVesalius, holds no axial CT, or fewer voxels than it says.

    Notes
    -----
    The project is an archive with a property list and a raw matrix. It is read in memory: nothing is unpacked to disk.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {path}: give an InVesalius project, say Cranium.inv3 of Debian's invesalius-examples"
        )
    try:
        with tarfile.open(path) as archive:
            members = {Path(name).name: name for name in archive.getnames()}
            facts = plistlib.loads(_member(archive, members, "main.plist"))
            matrix = facts["matrix"]
            raw = _member(archive, members, Path(str(matrix["filename"])).name)
            shape = tuple(int(n) for n in matrix["shape"])
            units = np.frombuffer(raw, dtype=np.dtype(str(matrix["dtype"]))).reshape(shape)
            w, h, z = (float(length) for length in facts["spacing"])
    except (tarfile.TarError, EOFError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no project of InVesalius, or is damaged: {error}") from error
    if facts.get("modality") != "CT" or facts.get("orientation") != 1:
        raise ValueError(f"{path} holds {facts.get('modality')} of orientation {facts.get('orientation')}: expected "
                         "axial slices (orientation 1) of CT")  # fmt: skip
    low, high = WINDOW
    values = np.clip((units[:, ::-1].astype(np.float32) - low) / (high - low), 0, 1)  # rows are stored from the back
    return Volume(values, (z, h, w), path.stem)


def _member(archive: tarfile.TarFile, members: dict[str, str], name: str) -> bytes:
    file = archive.extractfile(members[name])
    if file is None:
        raise KeyError(f"{name} is no file")
    return file.read()


def _axial(image: Any, name: str) -> Volume:
    """Turn an image of nibabel to (z from below, front to back, left to right), scaled to [0, 1]."""
    nibabel: Any = import_module("nibabel")
    turned = nibabel.as_closest_canonical(image)  # x to the right, y to the front, z up
    voxels = np.asarray(turned.dataobj, dtype=np.float32)
    if voxels.ndim != 3:
        raise ValueError(f"{name} has shape {voxels.shape}: expected one volume of three axes; cut others out first")
    if not np.all(np.isfinite(voxels)) or not np.any(voxels > 0):
        raise ValueError(f"{name} holds NaN, or no positive voxel: expected magnitudes")
    top = np.percentile(voxels[voxels > 0], BRIGHTEST)
    values = np.clip(voxels / np.float32(top), 0, 1).transpose(2, 1, 0)[:, ::-1]
    x, y, z = (float(length) for length in turned.header.get_zooms()[:3])
    return Volume(np.ascontiguousarray(values), (z, y, x), name)
