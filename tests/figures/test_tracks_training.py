from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import pipeline_spde
from pipeline_spde.figures import coverage, style, training


def _tracks() -> xr.Dataset:
    time = np.array(["2012-10-22T03", "2012-10-22T20", "2012-10-23T01"], "datetime64[ns]")
    return xr.Dataset(
        {"mission": ("obs", [0, 1, 1], {"flag_meanings": "jason1 swot_karin"})},
        coords={
            "time": ("obs", time),
            "lat": ("obs", [35.0, 40.0, 36.0]),
            "lon": ("obs", [-60.0, 295.5, -62.0]),
        },
    )


def test_track_map_puts_samples_on_their_day_in_any_longitude_convention(house_rules) -> None:
    land = xr.DataArray(
        np.eye(4, dtype=bool),
        dims=("lat", "lon"),
        coords={"lat": [34.0, 36, 38, 40], "lon": [-64.0, -62, -60, -58]},
    )
    days = ["2012-10-22", "2012-10-23", "2012-10-24"]
    figure = coverage.track_map(_tracks(), (33.0, 43.0), (-65.0, -55.0), days, land)
    house_rules(figure)
    assert [axes.get_title() for axes in figure.axes] == days
    first = figure.axes[0].lines
    assert [line.get_xdata().tolist() for line in first] == [[-60.0], [-64.5]]
    assert first[0].get_color() == style.MISSIONS["jason1"].colour
    assert [line.get_xdata().size for line in figure.axes[2].lines] == [0, 0]
    assert figure.axes[0].get_xlim() == (-65.0, -55.0)
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels == ["Jason-1", "SWOT KaRIn"]
    figure.canvas.draw()
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert "60°W" in ticks


def test_track_map_needs_a_day() -> None:
    with pytest.raises(ValueError, match="no day"):
        coverage.track_map(_tracks(), (33.0, 43.0), (-65.0, -55.0), [])


def _record(rows: int) -> pd.DataFrame:
    step = np.arange(1, rows + 1) * 10
    rmse = np.where(step % 100 == 0, 0.08 - 3e-5 * step, np.nan)
    return pd.DataFrame(
        {
            "step": step,
            "train_loss": 2.0 / step,
            "validation_rmse_m": rmse,
            "learning_rate": 1e-3 / step,
        }
    )


@pytest.mark.parametrize("rows", [10, 100])
def test_training_curves_show_the_best_and_what_to_beat(rows: int, house_rules) -> None:
    figure = training.curves({"4dvarnet": _record(rows)}, baseline_rmse=0.055)
    house_rules(figure)
    loss, error, rate = figure.axes
    assert loss.get_ylabel() == "training loss [1]"
    assert error.get_ylabel() == "validation RMSE [cm]"
    assert rate.get_ylabel() == "learning rate"
    assert all(axes.get_xlabel() == "optimiser step" for axes in figure.axes)
    best = 8.0 - 0.03 * rows
    labels = [text.get_text() for text in error.get_legend().texts]
    assert labels == [f"4DVarNet {best:.2f}", "tuned OI 5.50"]
    assert error.lines[0].get_ydata().size == rows // 10


def test_a_record_without_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match="validation_rmse_m"):
        training.curves({"unet": _record(10).drop(columns="validation_rmse_m")})


def test_training_curves_of_two_networks_share_their_axes(house_rules) -> None:
    records = {"4dvarnet": _record(50), "unet": _record(20)}
    figure = training.curves(records, baseline_rmse=0.055)
    house_rules(figure)
    labels = [text.get_text() for text in figure.axes[1].get_legend().texts]
    assert labels == ["UNet 7.40", "4DVarNet 6.50", "tuned OI 5.50"]
    colours = {line.get_color() for line in figure.axes[2].lines}
    assert colours == {style.METHODS[name].colour for name in records}


def test_the_columns_are_those_that_training_writes() -> None:
    # read, not imported: that would load the training library
    source = Path(pipeline_spde.__file__).parent / "training" / "keeping.py"
    columns = next(
        ast.literal_eval(node.value)
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LOG_COLUMNS"
    )
    assert set(training.COLUMNS) <= set(columns)
