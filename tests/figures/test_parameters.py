from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection
from matplotlib.quiver import Quiver

from pipeline_spde.figures import parameters as pictures
from pipeline_spde.figures import style
from pipeline_spde.grids import KM_PER_DEGREE, great_circle_km

DOCS = Path(__file__).resolve().parents[2] / "docs"
POINT = (4, 12, 11)


@pytest.fixture(scope="module")
def prior() -> xr.Dataset:
    """Smooth fields with a corner of land; the correlation moves east by 30 km a day."""
    lat, lon = np.arange(33.1, 43, 0.4), np.arange(-64.9, -55, 0.4)
    time = np.datetime64("2012-10-22T12", "ns") + np.arange(9) * np.timedelta64(1, "D")
    y = (lat - lat[POINT[1]])[:, None] * KM_PER_DEGREE
    x = (lon - lon[POINT[2]])[None, :] * KM_PER_DEGREE * np.cos(np.radians(38))
    jet = np.exp(-((y / 200) ** 2)) + 0 * x
    land = np.zeros(jet.shape, bool)
    land[-3:, :4] = True
    fields = {
        "sigma": 0.05 + 0.3 * jet,
        "range_major": 180 - 60 * jet,
        "range_minor": 120 - 40 * jet,
        "angle": 30 * jet,
        "decorrelation_time": 20 - 8 * jet,
        "m_east": 20 * jet,
        "m_north": -10 * jet,
    }
    lag = (np.arange(9) - POINT[0])[:, None, None]
    correlation = 0.95 ** abs(lag) * np.exp(-((x - 30 * lag) ** 2 + y**2) / 2 / 100**2)
    draw = 0.2 * np.random.default_rng(1).standard_normal(correlation.shape)
    data = {name: (("lat", "lon"), np.where(land, np.nan, v)) for name, v in fields.items()}
    data["draw"] = (("time", "lat", "lon"), draw)  # the draw and the correlation are 0 or any
    data["correlation"] = (("time", "lat", "lon"), correlation)  # number on land, as priors are
    return xr.Dataset(data, coords={"time": time, "lat": lat, "lon": lon})


@pytest.fixture(scope="module")
def ocean(prior) -> np.ndarray:
    return np.isfinite(prior["sigma"].values)


def labels(figure) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"]


def titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def notes(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def outlines(axes) -> list[np.ndarray]:
    """Black outlines, drawn on a white rim."""
    found = [c for c in axes.collections if isinstance(c, LineCollection)]
    return [line for c in found if c.get_colors()[0][0] == 0 for line in c.get_segments()]


@pytest.mark.parametrize(
    ("name", "variable", "label"),
    [
        ("sigma_map", "sigma", "σ [m]"),
        ("time_map", "decorrelation_time", "T [day]"),
    ],
)
def test_maps_show_the_field_and_its_unit(
    prior, ocean, house_rules, fields, name, variable, label
) -> None:
    figure = getattr(pictures, name)(prior)
    house_rules(figure)
    assert labels(figure) == [label]
    (image,) = fields(figure)
    np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), ~ocean)
    np.testing.assert_array_equal(image.get_array()[ocean], prior[variable].values[ocean])


def test_a_standard_deviation_starts_at_zero(prior, fields) -> None:
    (image,) = fields(pictures.sigma_map(prior))
    assert image.get_clim()[0] == 0


def test_ranges_are_drawn_as_their_geometric_mean(prior, ocean, house_rules, fields) -> None:
    figure = pictures.range_map(prior)
    house_rules(figure)
    assert labels(figure) == ["mean range [km]"]
    (image,) = fields(figure)
    mean = np.sqrt(prior["range_major"] * prior["range_minor"]).values
    np.testing.assert_allclose(image.get_array()[ocean], mean[ocean])


@pytest.mark.parametrize("latitude", [-35.0, 0.0, 60.0])
def test_ellipses_have_their_size_and_direction_on_the_sphere(latitude) -> None:
    angle = 30.0
    line = pictures.ellipses(*(np.array([v]) for v in (latitude, 10.0, 80.0, 40.0, angle)))[0]
    lon, lat = line.T
    distance = great_circle_km(latitude, 10.0, lat, lon)
    np.testing.assert_allclose([distance.max(), distance.min()], [80, 40], rtol=0.02)
    tip = distance[:37].argmax()
    east = (lon[tip] - 10.0) * np.cos(np.radians(latitude))
    direction = np.degrees(np.arctan2(lat[tip] - latitude, east)) % 180
    assert direction == pytest.approx(angle, abs=3)
    np.testing.assert_allclose(line[0], line[-1])


def test_ellipses_stand_on_the_ocean_and_say_their_size(prior, ocean) -> None:
    figure = pictures.range_map(prior)
    drawn = outlines(figure.axes[0])
    assert len(drawn) >= 16
    for line in drawn:
        lon, lat = line[:-1].mean(axis=0)
        row = int(np.abs(prior["lat"].values - lat).argmin())
        column = int(np.abs(prior["lon"].values - lon).argmin())
        assert ocean[row, column]
        half = great_circle_km(lat, lon, line[:, 1], line[:, 0]).max()
        assert half == pytest.approx(0.5 * prior["range_major"].values[row, column], rel=0.02)
    assert notes(figure) == ["ellipses: ranges, half their size"]


def test_ellipses_are_enlarged_on_a_large_map() -> None:
    lat, lon = np.arange(-59.0, 60, 2), np.arange(-179.0, 180, 2)
    still = xr.DataArray(np.ones((lat.size, lon.size)), {"lat": lat, "lon": lon}, ("lat", "lon"))
    world = xr.Dataset({name: 150 * still for name in pictures.NEEDED})
    figure = pictures.range_map(world)
    assert notes(figure) == ["ellipses: ranges, 10 times enlarged"]
    assert len(outlines(figure.axes[0])) >= 16


def test_arrows_are_the_path_of_the_noted_days(prior, house_rules) -> None:
    figure = pictures.advection_map(prior)
    house_rules(figure)
    assert labels(figure) == ["speed |m| [km day$^{-1}$]"]
    days = float(re.fullmatch(r"arrows: path in (\S+) days?", notes(figure)[0])[1])
    (arrows,) = (c for c in figure.axes[0].collections if isinstance(c, Quiver))
    assert arrows.N >= 20
    here = prior.sel(
        lat=xr.DataArray(arrows.Y), lon=xr.DataArray(arrows.X), method="nearest", tolerance=1e-9
    )
    width = KM_PER_DEGREE * np.cos(np.radians(arrows.Y))
    np.testing.assert_allclose(arrows.U, days * here["m_east"] / width)
    np.testing.assert_allclose(arrows.V, days * here["m_north"] / KM_PER_DEGREE)
    assert (arrows.scale, arrows.scale_units, arrows.angles) == (1, "xy", "xy")


def test_a_prior_without_advection_says_so(prior, house_rules) -> None:
    figure = pictures.advection_map(prior.drop_vars(["m_east", "m_north"]))
    house_rules(figure)
    assert notes(figure) == ["no advection"]
    assert not any(isinstance(c, Quiver) for c in figure.axes[0].collections)


def test_a_draw_is_shown_on_three_days_with_one_centred_scale(prior, house_rules, fields) -> None:
    figure = pictures.draw_panels(prior["draw"])
    house_rules(figure)
    assert titles(figure) == [f"a draw, 2012-10-{day}" for day in (22, 26, 30)]
    assert labels(figure) == ["height [m]"]
    ((low, high),) = {image.get_clim() for image in fields(figure)}
    assert low == -high
    chosen = pictures.draw_panels(prior["draw"], [3])
    np.testing.assert_array_equal(fields(chosen)[0].get_array(), prior["draw"].values[3])


@pytest.mark.parametrize(
    ("lag", "expected"),
    [
        (None, ["4 days before", "same day", "4 days later"]),
        (1, ["1 day before", "same day", "1 day later"]),
        (20, ["same day"]),
    ],
)
def test_a_footprint_is_shown_around_its_day(prior, house_rules, lag, expected) -> None:
    figure = pictures.footprint_panels(prior["correlation"], lag)
    house_rules(figure)
    assert titles(figure) == [f"footprint, {text}" for text in expected]
    assert labels(figure) == ["correlation [1]"]


def test_a_footprint_at_the_start_of_a_window_looks_ahead(prior) -> None:
    later = prior["correlation"].isel(time=slice(POINT[0], None))
    expected = ["footprint, same day", "footprint, 4 days later"]
    assert titles(pictures.footprint_panels(later)) == expected


def test_the_contours_and_the_mark_follow_the_correlation(prior) -> None:
    figure = pictures.footprint_panels(prior["correlation"], 2)
    for axes, day in zip(figure.axes, (2, 4, 6), strict=False):
        (mark,) = axes.lines
        place = [float(prior["lon"][POINT[2]]), float(prior["lat"][POINT[1]])]
        np.testing.assert_allclose(mark.get_xydata()[0], place)
        (contours,) = (c for c in axes.collections if not isinstance(c, LineCollection))
        np.testing.assert_array_equal(contours.levels, pictures.CONTOURS)
        middle = np.mean(contours.get_paths()[1].vertices[:-1], axis=0)
        east = (middle[0] - place[0]) * KM_PER_DEGREE * np.cos(np.radians(38))
        assert east == pytest.approx(30 * (day - POINT[0]), abs=12)


def test_the_own_cell_is_the_one_of_correlation_one(prior) -> None:
    assert pictures.own_cell(prior["correlation"]) == POINT
    noisy = prior["correlation"].copy()
    noisy[0, 0, 0] = 1.02  # estimated standard deviations can push neighbours beyond 1
    noisy[1, 1, 1] = np.nan
    assert pictures.own_cell(noisy.transpose("lon", "time", "lat")) == POINT
    with pytest.raises(ValueError, match=r"nearest has 0\.5000"):
        pictures.own_cell(0.5 * prior["correlation"])


def test_the_overview_shows_everything_on_a_page(prior, ocean, house_rules, fields) -> None:
    figure = pictures.overview(prior, "a prior")
    house_rules(figure)
    assert titles(figure)[:4] == [
        "standard deviation",
        "ranges and anisotropy",
        "decorrelation time",
        "advection",
    ]
    assert len(fields(figure)) == 4 + 3 + 3
    assert labels(figure)[-2:] == ["height [m]", "correlation [1]"]
    for image in fields(figure):
        np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), ~ocean)


def test_the_dashed_ellipse_is_that_of_the_cell(prior) -> None:
    figure = pictures.overview(prior)
    (axes,) = (a for a in figure.axes if a.get_title() == "footprint, same day")
    (line,) = outlines(axes)
    cell = prior.isel(lat=POINT[1], lon=POINT[2])
    names = ("lat", "lon", "range_major", "range_minor", "angle")
    expected = pictures.ellipses(*(np.atleast_1d(cell[name].values) for name in names))[0]
    np.testing.assert_allclose(line, expected)


@pytest.mark.parametrize("extras", [[], pytest.param(["correlation"], marks=pytest.mark.slow)])
def test_the_overview_leaves_out_what_is_not_known(prior, house_rules, fields, extras) -> None:
    rest = [name for name in ("draw", "correlation") if name not in extras]
    figure = pictures.overview(prior.drop_vars(rest))
    house_rules(figure)
    assert len(fields(figure)) == 4 + 3 * len(extras)


@pytest.mark.parametrize("name", ["sigma_map", "time_map", "range_map"])
def test_constant_fields_can_be_drawn(prior, fields, name) -> None:
    constant = prior.drop_vars(["draw", "correlation"])
    constant = constant.where(constant["sigma"].isnull(), constant.isel(lat=5, lon=5))
    (image,) = fields(getattr(pictures, name)(constant))
    low, high = image.get_clim()
    value = float(image.get_array().mean())
    assert low < value <= high
    assert high - low > 0.1 * value


def test_what_cannot_be_drawn_is_named(prior) -> None:
    with pytest.raises(ValueError, match=r"no variable \['angle'\]"):
        pictures.overview(prior.drop_vars("angle"))
    with pytest.raises(ValueError, match="m_east alone"):
        pictures.advection_map(prior.drop_vars("m_north"))
    with pytest.raises(ValueError, match=r"sigma has dimensions .*\.isel\(time=0\)"):
        pictures.sigma_map(prior.assign(sigma=prior["sigma"].expand_dims(time=prior["time"])))
    with pytest.raises(ValueError, match="sigma has no finite value"):
        pictures.range_map(prior.assign(sigma=np.nan * prior["sigma"]))


def test_land_is_grey(prior) -> None:
    figure = pictures.sigma_map(prior)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())
    x, y = figure.axes[0].transData.transform((-64.7, 42.7))
    colour = pixels[int(pixels.shape[0] - y), int(x), :3].astype(int)
    np.testing.assert_allclose(colour, round(255 * float(style.LAND_COLOUR)), atol=2)


def test_the_page_on_parameters_shows_the_pictures_that_the_script_makes() -> None:
    page = (DOCS / "parameters.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\(images/parameters/(\w+)\.png\)", page))
    there = {path.stem: path.stat().st_size for path in DOCS.glob("images/parameters/*.png")}
    script = ast.parse((DOCS / "make_parameter_pictures.py").read_text(encoding="utf-8"))
    (makers,) = (
        node.value
        for node in script.body
        if isinstance(node, ast.AnnAssign) and node.target.id == "MAKERS"
    )
    made = {key.value for key in makers.keys}
    assert shown == set(there) == made
    assert max(there.values()) < 250_000
    assert sum(there.values()) < 2_000_000
