"""Formal standard deviation of the tuned interpolation, by exact conditioning in tiles.

The error of a map at a point hardly depends on observations more than a correlation length or two
away, so a box of many lengths is cut into tiles; each is conditioned on its own observations and
those of a halo around it. The neglected variance counts as observation error and as error of the
map, so that both truncation errors are on the cautious side.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.baselines.analysis import OiParameters
from pipeline_spde.baselines.cells import CellAnomalies, Days, window_index
from pipeline_spde.baselines.covariance import gaussian_modes, plane_axes_km, product_modes
from pipeline_spde.baselines.exact import DaySums, condition, day_sums
from pipeline_spde.grids import Grid

Array = NDArray[np.float64]
Index = NDArray[np.int64]

TILE_LENGTHS = 6.0
"""Largest side of a tile in correlation lengths."""
HALO_LENGTHS = 1.5
"""Width of the halo in correlation lengths; the deviation is then within 1 % (see the tests)."""


@dataclass(frozen=True, eq=False)
class _Span:
    """Cells of a tile along one axis: those kept and, around them, those whose data are used."""

    kept: Index
    used: Index
    axis: Array  # coordinates of the cells used, in km
    circle: float | None = None  # circumference when the cells used are a whole circle

    @property
    def inner(self) -> slice:
        """Where the kept cells are among those used."""
        first = int(np.flatnonzero(self.used == self.kept[0])[0])
        return slice(first, first + self.kept.size)


def deviation_maps(
    cells: CellAnomalies,
    grid: Grid,
    targets: Days,
    offsets: Index,
    parameters: OiParameters,
    variance_tolerance: float,
    tile_lengths: float = TILE_LENGTHS,
) -> Array:
    """Return the formal standard deviation of the analysed anomaly in m, (targets, lat, lon).

    Args:
        cells: the observations; only where they are and how good they are matters.
        grid: their grid.
        targets: days to map, datetime64[D].
        offsets: days relative to the target whose observations are used.
        parameters: covariance and noise.
        variance_tolerance: share of the prior variance that the basis may leave out.
        tile_lengths: largest side of a tile in correlation lengths.
    """
    y, x, circle = plane_axes_km(grid)
    reach = HALO_LENGTHS * parameters.length_km
    side = tile_lengths * parameters.length_km
    deviation = np.empty((targets.size, *grid.shape))
    for rows in _spans(y, side, reach, None):
        for columns in _spans(x, side, reach, circle):
            tile = ExactTile(
                _crop(cells, rows.used, columns.used),
                (rows.axis, columns.axis),
                offsets,
                parameters,
                variance_tolerance,
                columns.circle,
            )
            for number, target in enumerate(targets):
                _, std = tile.analyse(target)
                place = np.ix_(rows.kept, columns.kept)
                deviation[number][place] = std[rows.inner, columns.inner]
    return deviation


def _spans(axis: Array, side: float, reach: float, circle: float | None) -> list[_Span]:
    """Return the tiles along an axis; on a circle the halo of the last reaches the first cells."""
    step = float(axis[1] - axis[0])
    count = min(max(1, int(np.ceil(axis.size * step / side))), axis.size)
    halo = int(np.ceil(reach / step))
    edges = [int(edge) for edge in np.linspace(0, axis.size, count + 1)]
    spans = []
    for first, last in pairwise(edges):
        kept, used = np.arange(first, last), np.arange(first - halo, last + halo)
        if circle is not None and used.size >= axis.size:
            spans.append(_Span(kept, np.arange(axis.size), axis, circle))
            continue
        if circle is None:
            used = used[(used >= 0) & (used < axis.size)]
        spans.append(_Span(kept, used % axis.size, axis[0] + step * used))
    return spans


def _crop(cells: CellAnomalies, rows: Index, columns: Index) -> CellAnomalies:
    place = np.ix_(np.arange(cells.days.size), rows, columns)
    return CellAnomalies(
        cells.days, cells.value[place], cells.variance[place], cells.observed[place]
    )


class ExactTile:
    """Optimal interpolation by Cholesky factorisation in a truncated basis, with its variance."""

    def __init__(
        self,
        cells: CellAnomalies,
        axes: tuple[Array, Array],
        offsets: Index,
        parameters: OiParameters,
        variance_tolerance: float,
        circle: float | None = None,
    ) -> None:
        """Choose the basis.

        Args:
            cells: the observations.
            axes: coordinates (y, x) of their rows and columns in km.
            offsets: days relative to the target whose observations are used.
            parameters: covariance and noise.
            variance_tolerance: share of the prior variance that the basis may leave out.
            circle: circumference in km when the columns go all around.
        """
        share = variance_tolerance / 100
        lat = gaussian_modes(axes[0], parameters.length_km, share)
        lon = gaussian_modes(axes[1], parameters.length_km, share, circle)
        time = gaussian_modes(np.union1d(offsets, [0]), parameters.length_days, share)
        self.modes = product_modes(time, lat, lon, variance_tolerance)
        self.cells, self.offsets, self.parameters = cells, offsets, parameters
        self._features = self.modes.nodes(*axes)
        self._time = time(offsets)
        self._at_target = time([0.0])[0]
        self._sums: dict[int, DaySums] = {}

    def analyse(self, target: np.datetime64) -> tuple[Array, Array]:
        """Return mean and standard deviation of the anomaly of a day in m, each (rows, columns)."""
        places = window_index(self.cells, np.array([target]), self.offsets)[0]
        self._sums = {held: sums for held, sums in self._sums.items() if held in places}
        seen = np.flatnonzero(places >= 0)
        days = [self._day(int(places[i])) for i in seen]
        posterior = condition(self.modes, days, [self._time[i : i + 1] for i in seen])
        mean = self._features @ posterior.spatial_mean(self._at_target)
        variance = posterior.variance(self._at_target, self._features)
        shape, scale = self.cells.value.shape[1:], self.parameters.prior_std_m
        return scale * mean.reshape(shape), scale * np.sqrt(variance).reshape(shape)

    def _day(self, place: int) -> DaySums:
        """Return the sums of a day, kept for the windows of the next targets."""
        if place not in self._sums:
            observed = self.cells.observed[place]
            scale = self.parameters.prior_std_m
            ratio = (self.parameters.noise_factor / scale) ** 2
            noise = ratio * self.cells.variance[place][observed] + self.modes.neglected
            values = self.cells.value[place][observed] / scale
            self._sums[place] = day_sums(self._features[observed.ravel()], 1.0 / noise, values)
        return self._sums[place]
