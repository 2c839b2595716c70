from __future__ import annotations

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.data.patches import Blender, Patches, axis_starts, taper


@st.composite
def plans(draw: st.DrawFn) -> Patches:
    shape = tuple(draw(st.integers(1, limit)) for limit in (5, 17, 17))
    patch = tuple(draw(st.integers(1, limit)) for limit in (6, 20, 20))
    stride = tuple(draw(st.integers(1, length)) for length in patch)
    return Patches.plan(shape, patch, stride, periodic=draw(st.booleans()))


@settings(deadline=None)
@given(plans(), st.integers(0, 2**32 - 1))
def test_blending_the_cut_patches_gives_the_field_back(plan: Patches, seed: int) -> None:
    field = np.random.default_rng(seed).standard_normal(plan.shape)
    blender = Blender(plan)
    for place in plan.places():
        blender.add(plan.cut(field, place), place)
    blended, covered = blender.result()
    assert covered.all()
    np.testing.assert_allclose(blended, field, rtol=1e-13, atol=1e-13)


@settings(deadline=None)
@given(plans())
def test_blending_weights_sum_to_one_and_are_positive(plan: Patches) -> None:
    blender = Blender(plan)
    for place in plan.places():
        blender.add(np.ones(plan.size), place)
    blended, covered = blender.result()
    assert covered.all()
    np.testing.assert_allclose(blended, 1.0, rtol=1e-14)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 70), st.booleans())
def test_starts_cover_every_cell_and_stay_inside(
    size: int, patch: int, stride: int, periodic: bool
) -> None:
    stride = min(stride, patch)
    starts = axis_starts(size, patch, stride, periodic)
    length = min(patch, size)
    covered = {(start + i) % size for start in starts for i in range(length)}
    assert covered == set(range(size))
    assert list(starts) == sorted(set(starts))
    assert periodic or starts[-1] + length == size


def test_the_last_patch_is_moved_in() -> None:
    assert axis_starts(100, 60, 30) == (0, 30, 40)
    assert axis_starts(60, 60, 40) == (0,)
    assert axis_starts(10, 60, 40) == (0,)


def test_a_periodic_patch_runs_over_the_seam() -> None:
    plan = Patches.plan((1, 2, 6), (1, 2, 4), (1, 2, 3), periodic=True)
    field = np.arange(12.0).reshape(1, 2, 6)
    np.testing.assert_array_equal(plan.cut(field, (0, 0, 3))[0, 0], [3, 4, 5, 0])
    np.testing.assert_array_equal(plan.cut(field[0], (0, 0, 3))[0], [3, 4, 5, 0])


def test_a_masked_field_is_cut_as_a_mask() -> None:
    mask = np.zeros((2, 4, 4), bool)
    mask[1, 2, 3] = True
    piece = Patches.plan((2, 4, 4), (1, 2, 2), (1, 2, 2)).cut(mask, (1, 2, 2))
    assert piece.dtype == bool
    np.testing.assert_array_equal(piece[0], [[False, True], [False, False]])


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: xr.DataArray(a, dims=("t", "y", "x"))])
def test_only_the_chunks_of_the_patch_are_computed(wrap: object) -> None:
    computed = []

    def load(block: np.ndarray, block_info: dict | None = None) -> np.ndarray:
        computed.append(block_info[0]["chunk-location"] if block_info else None)
        return block

    values = np.arange(4 * 8 * 8.0).reshape(4, 8, 8)
    lazy = dask.array.from_array(values, chunks=(1, 8, 8)).map_blocks(load, dtype=float)
    plan = Patches.plan((4, 8, 8), (2, 4, 4), (2, 4, 4))
    computed.clear()
    piece = plan.cut(wrap(lazy), (2, 4, 0))  # type: ignore[operator]
    np.testing.assert_array_equal(piece, values[2:, 4:, :4])
    assert sorted(place[0] for place in computed if place) == [2, 3]


def test_patches_are_numbered_longitude_first() -> None:
    plan = Patches.plan((2, 4, 6), (1, 2, 2), (1, 2, 2))
    assert len(plan) == 12
    assert plan.place(0) == (0, 0, 0)
    assert plan.place(4) == (0, 2, 2)
    assert plan.place(11) == (1, 2, 4)
    with pytest.raises(IndexError, match="no patch 12; there are 12"):
        plan.place(12)


def test_weights_are_symmetric_and_vanish_towards_the_edges() -> None:
    weights = taper(8)
    np.testing.assert_allclose(weights, weights[::-1])
    assert weights.argmax() in (3, 4) and 0 < weights[0] < 0.05


def test_a_stride_that_leaves_gaps_is_refused() -> None:
    with pytest.raises(ValueError, match="along lat: a stride of 5 between patches of 4"):
        Patches.plan((1, 20, 20), (1, 4, 4), (1, 5, 4))


def test_a_field_of_another_shape_is_refused() -> None:
    plan = Patches.plan((2, 4, 4), (1, 2, 2), (1, 2, 2))
    with pytest.raises(ValueError, match="planned for"):
        plan.cut(np.zeros((2, 4, 5)), (0, 0, 0))
    with pytest.raises(ValueError, match="a patch has shape"):
        Blender(plan).add(np.zeros((1, 2, 3)), (0, 0, 0))
