"""Tiles: each patch in one of them, the maps those of one piece, and no trace of their edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde import io, tiling
from pipeline_spde.config import InferenceConfig, MapRequest, PatchConfig
from pipeline_spde.data.windows import patch_plan
from pipeline_spde.fields import Observations
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task
from pipeline_spde.reconstruct import reconstruct, reconstruct_tile, tile_from_files

from .test_reconstruct import make_observations, save

PERIOD = Period(start="2013-01-05", end="2013-01-09")
SOURCE = io.Provenance("test", "0", 0)


def globe() -> Grid:
    """Thirty degrees of latitude around the globe in cells of 6 by 7.5 degrees, with an island."""
    land = np.zeros((20, 48), bool)
    land[4:9, 44:] = land[4:9, :3] = True
    return Grid.latlon(-57 + 6 * np.arange(20), -176.25 + 7.5 * np.arange(48), land, periodic=True)


def basin() -> Grid:
    land = np.zeros((22, 26), bool)
    land[:13, :13] = True
    return Grid.latlon(34 + 0.2 * np.arange(22), -60 + 0.2 * np.arange(26), land)


def request(checkpoint: Path | None = None, tiles: tuple[int, int] = (3, 3), days: int = 3):
    return MapRequest(
        period=PERIOD,
        patches=PatchConfig(lat=8, lon=8, stride_lat=4, stride_lon=4),
        checkpoint=checkpoint,
        inference=InferenceConfig(tile_patches=tiles, tile_days=days),
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model") / "state.ckpt")


def write_domain(folder: Path, grid: Grid) -> tuple[Observations, Path, Path]:
    seen = make_observations(grid)
    io.write_observations(seen.gridded, ("saral",), folder / "observations.nc", SOURCE)
    io.write_grid(grid, seen.mean, np.ones(grid.shape), folder / "grid.nc", SOURCE)
    return seen, folder / "observations.nc", folder / "grid.nc"


def make_tiles(folder: Path, grid: Grid, wanted: MapRequest, task: str) -> list[Path]:
    paths = []
    for tile in tiling.tiles_of(grid, wanted):
        maps = tile_from_files(
            tile.name, folder / "observations.nc", folder / "grid.nc", Task(name=task), wanted,
            "4dvarnet",
        )  # fmt: skip
        paths.append(folder / f"{tile.name}.nc")
        io.write_maps(maps, paths[-1], SOURCE)
    return paths


@pytest.mark.parametrize("task", ["mapping", "for2"])
@pytest.mark.parametrize(
    ("grid", "tiles"), [(basin(), (3, 3)), (globe(), (3, 5)), (globe(), (9, 99))]
)
def test_tiles_joined_are_the_maps_of_one_piece(tmp_path, checkpoint, grid, tiles, task):
    checkpoint = checkpoint if task == "mapping" else save(tmp_path / "state.ckpt", task)
    seen, _, cells = write_domain(tmp_path, grid)
    wanted = request(checkpoint, tiles)
    whole = reconstruct(seen, grid, Task(name=task), wanted)
    paths = make_tiles(tmp_path, grid, wanted, task)
    assert len(paths) == len(tiling.tiles_of(grid, wanted)) >= 2
    tiling.write_gathered(paths, cells, wanted, None, tmp_path / "maps.nc", SOURCE)
    joined = io.read_maps(tmp_path / "maps.nc")
    np.testing.assert_array_equal(joined.time, whole.time)
    np.testing.assert_array_equal(joined.grid.land, grid.land)
    np.testing.assert_allclose(joined.height, whole.height, rtol=0, atol=1e-6)


def test_the_file_is_like_that_of_one_piece(tmp_path, checkpoint):
    grid = basin()
    seen, _, cells = write_domain(tmp_path, grid)
    wanted = request(checkpoint)
    io.write_maps(reconstruct(seen, grid, Task(name="mapping"), wanted), tmp_path / "a.nc", SOURCE)
    paths = make_tiles(tmp_path, grid, wanted, "mapping")
    tiling.write_gathered(paths, cells, wanted, None, tmp_path / "b.nc", SOURCE)
    with xr.open_dataset(tmp_path / "a.nc") as a, xr.open_dataset(tmp_path / "b.nc") as b:
        assert set(a.variables) == set(b.variables)
        for name in a.variables:
            assert a[name].attrs == b[name].attrs and a[name].dtype == b[name].dtype, name
            assert a[name].encoding.get("chunksizes") == b[name].encoding.get("chunksizes"), name
        assert set(a.attrs) == set(b.attrs) and a.attrs["quantity"] == b.attrs["quantity"]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(4, 30), columns=st.integers(4, 40), patch=st.integers(3, 12),
    stride=st.integers(1, 12), high=st.integers(1, 5), wide=st.integers(1, 7),
    days=st.integers(1, 7), periodic=st.booleans(),
)  # fmt: skip
def test_every_patch_lies_in_one_tile_and_the_weights_add_up(
    rows, columns, patch, stride, high, wide, days, periodic
):
    step = 360 / columns if periodic else 1.0
    grid = Grid.latlon(np.linspace(-40, 40, rows), step * np.arange(columns), periodic=periodic)
    size = max(patch, 8)
    patches = PatchConfig(
        lat=size, lon=size, stride_lat=min(stride, size), stride_lon=min(stride, size)
    )
    inference = InferenceConfig(tile_patches=(high, wide), tile_days=days)
    wanted = MapRequest(period=PERIOD, patches=patches, inference=inference)
    tiles = tiling.tiles_of(grid, wanted)
    plan = patch_plan(grid, 1, 1, patches)
    held = [
        (tile.period.start, row, column)
        for tile in tiles for row in tile.rows for column in tile.columns
    ]  # fmt: skip
    starts = {tile.period.start for tile in tiles}
    assert len(held) == len(set(held)) == len(starts) * len(plan.starts[1]) * len(plan.starts[2])
    assert sum(p.days for p in tiling.segments(PERIOD, days)) == PERIOD.days
    assert len({tile.name for tile in tiles}) == len(tiles)
    # what is the same in all tiles is so after blending, everywhere
    first = [tile for tile in tiles if tile.period.start == PERIOD.start]
    parts = [(tile, Path(str(number))) for number, tile in enumerate(first)]

    def read(path, stamp, quantity):
        return np.full(first[int(str(path))].shape, 1.0)

    stamp = np.datetime64("2013-01-05T12:00", "ns")
    np.testing.assert_allclose(tiling.blended_day(parts, stamp, grid, "ssh", read), 1.0, rtol=1e-6)


def test_a_tile_reads_its_cells_and_days_only(tmp_path):
    grid = globe()
    seen, observations, cells = write_domain(tmp_path, grid)
    tiles = tiling.tiles_of(grid, request(tiles=(2, 3)))
    over_the_seam = next(tile for tile in tiles if len(tile.column_slices) == 2)
    gridded, mean = tiling.read_tile(observations, cells, over_the_seam, 2)
    places = np.arange(over_the_seam.columns[0], over_the_seam.columns[0] + gridded.grid.lon.size)
    columns, rows = places % 48, over_the_seam.row_slice
    days = slice(2, 2 + over_the_seam.period.days + 4)  # 3 January is day 2
    np.testing.assert_array_equal(gridded.height, seen.gridded.height[days, rows][..., columns])
    np.testing.assert_array_equal(gridded.observed, seen.gridded.observed[days, rows][..., columns])
    np.testing.assert_allclose(mean, seen.mean[rows][:, columns], rtol=1e-6)
    np.testing.assert_array_equal(gridded.grid.land, grid.land[rows][:, columns])
    assert np.allclose(np.diff(gridded.grid.lon), 7.5) and not gridded.grid.periodic


def test_a_network_that_needs_a_first_guess_is_not_made_in_tiles(tmp_path):
    model = save(tmp_path / "state.ckpt", start="spde_oi")
    seen, grid = make_observations(basin()), basin()
    tile = tiling.tiles_of(grid, request(tiles=(9, 9)))[0]
    with pytest.raises(ValueError, match=r"leave out inference\.tile_patches"):
        reconstruct_tile(
            seen.gridded, seen.mean, tile, Task(name="mapping"), request(model), "4dvarnet"
        )


def test_unusable_tiles_are_refused_in_words(tmp_path, checkpoint):
    grid = basin()
    _, observations, cells = write_domain(tmp_path, grid)
    wanted = request(checkpoint)
    paths = make_tiles(tmp_path, grid, wanted, "mapping")
    out = tmp_path / "maps.nc"
    with pytest.raises(
        ValueError, match=f"{len(paths) - 1} files are given for {len(paths)} tiles"
    ):
        tiling.write_gathered(paths[:-1], cells, wanted, None, out, SOURCE)
    with pytest.raises(DataError, match=r"make the tile again|cells, .* expected"):
        tiling.write_gathered(paths[::-1], cells, wanted, None, out, SOURCE)
    holed = io.read_maps(paths[-1]).to_dataset()
    holed["ssh"][0] = np.nan
    io.write_dataset(holed, paths[-1], SOURCE)
    with pytest.raises(DataError, match=r"ocean cells of 2013-01-08.* have no height"):
        tiling.write_gathered(paths, cells, wanted, None, out, SOURCE)
    paths[0].write_bytes(paths[0].read_bytes()[:3000])
    with pytest.raises(DataError, match="truncated"):
        tiling.write_gathered(paths, cells, wanted, None, out, SOURCE)
    assert not out.exists() and not list(tmp_path.glob(".maps*"))
    with pytest.raises(ValueError, match=r"no tile r99c00d000; there are r00c00d000"):
        tiling.tile_named("r99c00d000", cells, wanted)
    other = request(tiles=(1, 1))
    io.write_grid(globe(), np.zeros((20, 48)), np.ones((20, 48)), tmp_path / "other.nc", SOURCE)
    with pytest.raises(DataError, match=r"\(20, 48\) cells, the tiles are of \(22, 26\)"):
        tiling.read_tile(observations, tmp_path / "other.nc", tiling.tiles_of(grid, other)[0], 2)


def test_the_edges_of_tiles_are_found(tmp_path):
    tiles = tiling.tiles_of(globe(), request(tiles=(2, 3)))
    edges = tiling.edges_of(tiles)
    for axis, size in (("rows", 20), ("columns", 48)):
        own = edges[axis]
        assert own == sorted(set(own)) and all(0 <= edge < size for edge in own)
    assert 0 in edges["columns"] and 0 not in edges["rows"]
    around = tiling.edges_of(tiling.tiles_of(globe(), request(tiles=(2, 99))))
    assert around["columns"] == []


def test_maps_in_bfloat16_are_close_to_those_in_32_bits(checkpoint):
    seen, grid = make_observations(basin()), basin()
    exact, short = (
        reconstruct(
            seen, grid, Task(name="mapping"),
            request(checkpoint).model_copy(
                update={"inference": InferenceConfig(precision=precision)}
            ),
        ).height[:, grid.ocean]
        for precision in ("32-true", "bf16-mixed")
    )  # fmt: skip
    difference = np.abs(exact - short)
    assert 0 < difference.max() < 0.02 * 0.25  # of the standard deviation
