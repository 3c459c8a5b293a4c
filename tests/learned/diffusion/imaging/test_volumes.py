"""Volumes: the same head whatever the file's axes, and clear words for files that are none."""

from __future__ import annotations

import io
import plistlib
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conjugo.learned.diffusion.imaging.volumes import Volume, invesalius, mni152, nifti

SHAPE = (5, 7, 6)


def project(path: Path, units: Any, **changed: Any) -> Path:
    facts = {"modality": "CT", "orientation": 1, "spacing": [0.5, 0.75, 1.5],
             "matrix": {"filename": "matrix.dat", "dtype": "int16", "shape": list(units.shape)}, **changed}  # fmt: skip
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("t/main.plist", plistlib.dumps(facts)), ("t/matrix.dat", units.tobytes())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_an_invesalius_project_is_read_in_hounsfield_units(tmp_path: Path) -> None:
    units = np.random.default_rng(0).integers(-1024, 3000, SHAPE).astype(np.int16)
    volume = invesalius(project(tmp_path / "head.inv3", units))
    expected = (np.clip(units, -1000, 2000) + 1000) / 3000
    assert np.allclose(volume.values, expected[:, ::-1], atol=1e-6)  # the file's rows run from the back
    assert (volume.spacing, volume.name) == ((1.5, 0.75, 0.5), "head")


def test_damaged_and_other_projects_are_refused(tmp_path: Path) -> None:
    units = np.zeros(SHAPE, np.int16)
    with pytest.raises(FileNotFoundError, match="invesalius-examples"):
        invesalius(tmp_path / "absent.inv3")
    with pytest.raises(ValueError, match="holds MRI of orientation 1: expected axial"):
        invesalius(project(tmp_path / "a.inv3", units, modality="MRI"))
    matrix = {"filename": "matrix.dat", "dtype": "int16", "shape": [9, 9, 9]}
    with pytest.raises(ValueError, match="is no project of InVesalius, or is damaged"):
        invesalius(project(tmp_path / "b.inv3", units, matrix=matrix))
    (tmp_path / "c.inv3").write_bytes(b"no archive at all")
    with pytest.raises(ValueError, match="is no project of InVesalius"):
        invesalius(tmp_path / "c.inv3")


def test_a_nifti_file_gives_the_same_head_whatever_its_axes(tmp_path: Path) -> None:
    nibabel: Any = pytest.importorskip("nibabel")
    head = np.random.default_rng(1).integers(0, 200, SHAPE).astype(np.uint8)  # x to the right, y to the front, z up
    nibabel.save(nibabel.Nifti1Image(head, np.diag([1.0, 2.0, 3.0, 1.0])), tmp_path / "ras.nii.gz")
    turned = head[::-1].transpose(2, 0, 1)  # z, then x to the left, then y
    affine = np.array([[0, -1.0, 0, 4], [0, 0, 2, 0], [3, 0, 0, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(turned), affine), tmp_path / "other.nii")
    one, other = nifti(tmp_path / "ras.nii.gz"), nifti(tmp_path / "other.nii")
    assert np.array_equal(one.values, other.values)
    assert one.spacing == other.spacing == (3.0, 2.0, 1.0)
    top = np.percentile(head[head > 0], 99.9)
    assert one.values[2, 0, 3] == pytest.approx(min(head[3, -1, 2] / top, 1))  # the first row is the front
    assert (one.name, other.name) == ("ras", "other")


def test_files_that_are_no_volume_are_refused(tmp_path: Path) -> None:
    nibabel: Any = pytest.importorskip("nibabel")
    with pytest.raises(FileNotFoundError, match="mricron-data"):
        nifti(tmp_path / "absent.nii.gz")
    (tmp_path / "text.nii").write_text("not a volume")
    with pytest.raises(ValueError, match="is no NIfTI file"):
        nifti(tmp_path / "text.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.uint8), np.eye(4)), tmp_path / "two.nii")
    with pytest.raises(ValueError, match="expected one volume of three axes"):
        nifti(tmp_path / "two.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "dark.nii")
    with pytest.raises(ValueError, match="no positive voxel"):
        nifti(tmp_path / "dark.nii")


def test_values_outside_the_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(z, h, w\) float32"):
        Volume(np.zeros((2, 2, 2)), (1, 1, 1), "doubles")  # type: ignore[arg-type]
    for wrong in (np.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match=r"expected them in \[0, 1\]"):
            Volume(np.full((2, 2, 2), wrong, np.float32), (1, 1, 1), "wrong")
    with pytest.raises(ValueError, match="positive numbers of millimetres"):
        Volume(np.zeros((2, 2, 2), np.float32), (1, 0, 1), "flat")


@pytest.mark.slow
def test_mni152_is_an_upright_brain() -> None:
    pytest.importorskip("nilearn")
    volume = mni152()
    shown = (volume.values > 0.1).sum(axis=(1, 2))
    assert volume.spacing == (1.0, 1.0, 1.0)
    assert 0 < np.argmax(shown) < 0.6 * len(shown)
    left, right = volume.values[:, :, :98], volume.values[:, :, :98:-1]
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.95  # the average head is nearly symmetric
