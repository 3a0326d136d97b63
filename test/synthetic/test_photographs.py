"""Photographs: only those on the list are used, by contents."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from cotracker_ros.synthetic import photographs as module
from cotracker_ros.synthetic import texture_bank
from cotracker_ros.synthetic.photographs import (
    ALLOWED,
    installed_photographs,
    photograph_texture,
    photographs,
)
from cotracker_ros.synthetic.texture_bank import Bank
from cotracker_ros.synthetic.training_clip import ClipConfig, ClipConfigError


@pytest.fixture(autouse=True, scope="module")
def few_textures() -> Iterator[None]:
    """A small stock, so that tests do not wait for the whole one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texture_bank, "_SLOTS", {False: 8, True: 8})
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a grey and a colour picture that are on the list, and one that is not."""
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "a.png"), rng.integers(0, 255, (60, 80)).astype(np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), rng.integers(0, 255, (70, 50, 3)).astype(np.uint8))
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((50, 50, 3), np.uint8))
    listed = []
    for name, held_out in (("a.png", False), ("b.png", True)):
        digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        listed.append(dataclasses.replace(ALLOWED[0], file=name, sha256=digest, held_out=held_out))
    listed.append(dataclasses.replace(ALLOWED[0], file="c.png", sha256="0" * 64))
    monkeypatch.setattr(module, "ALLOWED", tuple(listed))
    photographs.cache_clear()
    yield tmp_path
    photographs.cache_clear()


def test_only_listed_contents_are_used(folder: Path) -> None:
    assert [picture.shape for picture in photographs(str(folder), False)] == [(60, 80, 3)]
    assert [picture.shape for picture in photographs(str(folder), True)] == [(70, 50, 3)]


def test_several_folders_and_none(folder: Path) -> None:
    assert len(photographs(os.pathsep.join(["/nowhere", str(folder)]), False)) == 1
    assert photographs("", False) == ()


def test_a_texture_of_a_picture(folder: Path) -> None:
    texture = photograph_texture(np.random.default_rng(1), photographs(str(folder), True), 96)
    assert texture.shape == (96, 96, 3)
    assert texture.std() > 20


def test_the_bank_uses_them_for_some_textures(folder: Path) -> None:
    def patches(photographs: str) -> list[np.ndarray]:
        bank = Bank(0, False, photographs)
        return [bank.patch(np.random.default_rng(seed), (32, 32)) for seed in range(16)]

    same = [np.array_equal(a, b) for a, b in zip(patches(""), patches(str(folder)), strict=True)]
    assert 0 < sum(same) < len(same)


def test_a_missing_folder_is_said() -> None:
    with pytest.raises(ClipConfigError, match="which is no folder"):
        ClipConfig(photographs="/no/such/folder")


def test_installed_folders_exist() -> None:
    for folder in filter(None, installed_photographs().split(os.pathsep)):
        assert Path(folder).is_dir()


def test_every_picture_names_its_source_and_licence() -> None:
    for picture in ALLOWED:
        assert len(picture.sha256) == 64
        assert picture.source
        assert picture.licence.startswith(("CC0", "public domain"))
    assert {picture.held_out for picture in ALLOWED} == {True, False}
