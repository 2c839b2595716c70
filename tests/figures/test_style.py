from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

from pipeline_spde.figures import style
from pipeline_spde.methods import METHODS


def _seen_without_green_cones(colour: str) -> np.ndarray:
    """RGB as seen with deuteranopia (Viénot, Brettel and Mollon 1999)."""
    linear = np.array(to_rgb(colour)) ** 2.2
    matrix = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    return np.clip(matrix @ linear, 0, 1) ** (1 / 2.2)


def test_every_registered_method_has_a_look() -> None:
    assert set(METHODS) <= set(style.METHODS)


def test_method_colours_can_be_told_apart_by_colour_blind_readers() -> None:
    for first, second in itertools.combinations(style.METHODS.values(), 2):
        seen = [_seen_without_green_cones(look.colour) for look in (first, second)]
        distance = np.linalg.norm(seen[0] - seen[1])
        # colours that come close must differ in the dashes of their line
        assert distance > 0.12 or first.dashes != second.dashes, (first.label, second.label)


def test_order_is_that_of_the_list_then_by_name() -> None:
    names = ["zeta", "4dvarnet", "alpha", "oi_tuned", "oi"]
    assert style.in_order(names) == ["oi", "oi_tuned", "4dvarnet", "alpha", "zeta"]
    assert style.method_look("alpha") == style.method_look("alpha")


def test_heights_of_both_signs_are_centred_at_zero_and_others_are_not() -> None:
    scale = style.height_scale([np.array([-0.5, 1.0, np.nan]), np.array([0.1])])
    assert scale.low == -scale.high
    assert scale.colours is style.HEIGHT_MAP
    level = style.height_scale([np.linspace(10.0, 11.0, 50)])
    assert level.low > 9.9
    assert level.colours is style.LEVEL_MAP


def test_a_constant_field_still_has_a_range() -> None:
    scale = style.positive_scale([np.zeros((3, 3))], style.ERROR_MAP)
    assert scale.high > scale.low


def test_nothing_finite_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        style.height_scale([np.full(3, np.nan)])


@pytest.mark.parametrize(
    ("value", "letters", "text"),
    [(-65.0, "EW", "65°W"), (295.0, "EW", "65°W"), (0.0, "EW", "0°"), (37.5, "NS", "37.5°N")],
)
def test_degree_labels(value: float, letters: str, text: str) -> None:
    assert style.degrees(value, letters) == text


def test_context_restores_the_settings() -> None:
    before = mpl.rcParams["font.size"]
    with style.context():
        assert mpl.rcParams["font.size"] == style.RC_PARAMS["font.size"]
    assert mpl.rcParams["font.size"] == before


def test_columns_come_as_dicts_frames_or_datasets() -> None:
    days = ["2012-10-22", "2012-10-23"]
    values = {"time": days, "score": [0.5, None]}
    frame = pd.DataFrame({"time": pd.to_datetime(days), "score": [0.5, np.nan]})
    dataset = xr.Dataset({"score": ("time", [0.5, np.nan])}, {"time": pd.to_datetime(days)})
    for series in (values, frame, dataset):
        np.testing.assert_array_equal(style.as_times(series), np.array(days, "datetime64[ns]"))
        np.testing.assert_array_equal(style.as_numbers(series["score"]), [0.5, np.nan])


def test_a_dataset_without_height_is_refused() -> None:
    with pytest.raises(ValueError, match="no variable ssh, sla, adt"):
        style.quantity_of(xr.Dataset({"temperature": 1}))
