"""Small made-up inputs in the layout of the files, and the house rules every figure must meet."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from pipeline_spde.figures import style


@dataclass
class Experiment:
    """Truth, observations and maps of two methods; only one of them has a standard deviation."""

    truth: xr.Dataset
    observations: xr.Dataset
    maps: dict[str, xr.Dataset]
    land: np.ndarray


@pytest.fixture(scope="session")
def experiment() -> Experiment:
    rng = np.random.default_rng(7)
    time = np.arange("2012-10-22", "2012-10-29", dtype="datetime64[D]").astype("datetime64[ns]")
    coords = {
        "time": time + np.timedelta64(12, "h"),
        "lat": np.arange(33.1, 43, 0.4),
        "lon": np.arange(-64.9, -55, 0.4),
    }
    shape = (time.size, coords["lat"].size, coords["lon"].size)
    land = np.zeros(shape[1:], bool)
    land[-3:, :4] = True
    phase = np.arange(shape[0])[:, None, None] / 3 + coords["lon"][None, None, :]
    height = 0.5 * np.sin(phase) * np.cos(coords["lat"])[None, :, None]
    height[:, land] = np.nan
    dims = ("time", "lat", "lon")

    def maps(values: np.ndarray, std: float | None = None) -> xr.Dataset:
        data = {"ssh": (dims, values.astype(np.float32), {"units": "m"})}
        if std is not None:
            field = np.where(land, np.nan, std) * (1 + rng.random(shape))
            data["ssh_std"] = (dims, field.astype(np.float32), {"units": "m"})
        return xr.Dataset(data, coords=coords)

    seen = (rng.random(shape) < 0.1) & ~land
    noisy = np.where(seen, height + 0.02 * rng.standard_normal(shape), np.nan)
    observations = maps(noisy).assign(
        observed=(dims, seen.astype(np.int8)),
        obs_error=(dims, np.where(seen, 0.03, np.nan).astype(np.float32)),
    )
    methods = {
        "4dvarnet": maps(height + 0.03 * rng.standard_normal(shape)),
        "oi_tuned": maps(height + 0.06 * rng.standard_normal(shape), std=0.05),
    }
    return Experiment(maps(height), observations, methods, land)


@pytest.fixture(scope="session")
def ensemble(experiment: Experiment) -> xr.Dataset:
    """Four members about the map of 4dvarnet, in the layout of the files of ensembles."""
    rng = np.random.default_rng(8)
    mean = experiment.maps["4dvarnet"]["ssh"]
    std = xr.full_like(mean, 0.04).where(mean.notnull())
    noise = xr.DataArray(rng.standard_normal((4, *mean.shape)), dims=("realization", *mean.dims))
    data = {
        "ssh": mean + std * noise,
        "ssh_mean": mean,
        "ssh_std": std,
        "ssh_std_calibrated": 1.25 * std,
    }
    return xr.Dataset(data, attrs={"quantity": "ssh"}).transpose("realization", *mean.dims)


@pytest.fixture(autouse=True)
def no_global_state() -> Iterator[None]:
    """No figure may register with pyplot, change rcParams or warn."""
    before = dict(mpl.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


@pytest.fixture
def house_rules() -> Callable[[Figure], None]:
    """Check what every figure owes its reader."""

    def check(figure: Figure) -> None:
        assert isinstance(figure.canvas, FigureCanvasAgg)
        assert figure.get_size_inches()[0] <= style.PAGE_WIDTH
        figure.canvas.draw()
        box = figure.bbox
        for axes in figure.axes:
            if not axes.get_visible():
                continue
            for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
                if not text.get_text():
                    continue
                assert text.get_fontsize() >= 7
                extent = text.get_window_extent()
                assert extent.x0 >= box.x0 - 1
                assert extent.x1 <= box.x1 + 1
                assert extent.y0 >= box.y0 - 1
                assert extent.y1 <= box.y1 + 1

    return check


@pytest.fixture
def days() -> list[str]:
    return ["2012-10-23", "2012-10-25"]


@pytest.fixture
def bar_labels() -> Callable[[Figure], list[str]]:
    """The function that lists the labels of the horizontal colour bars."""
    return lambda figure: [
        axes.get_xlabel() for axes in figure.axes if axes.get_label() == "<colorbar>"
    ]


@pytest.fixture
def fields() -> Callable[[Figure], list[AxesImage]]:
    """The function that lists the drawn fields, land left out."""
    return lambda figure: [
        image for axes in figure.axes for image in axes.images if image.get_zorder() == 2
    ]
