from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from pipeline_spde.figures import leads, style


@pytest.fixture
def table() -> pd.DataFrame:
    """Two methods at leads 0 to 4, not in order; one of them has no spread and no CRPS."""
    lead = np.array([4, 0, 1, 2, 3])
    rows = {"lead": lead, "rmse_m": 0.02 + 0.01 * lead, "mu": 0.95 - 0.03 * lead}
    frame = pd.DataFrame(rows)
    frame["mu_low"], frame["mu_high"] = frame["mu"] - 0.01, frame["mu"] + 0.02
    spde = frame.assign(method="4dvarnet_spde", crps_m=frame["rmse_m"] / 2, spread_m=0.025)
    other = frame.assign(method="persistence", crps_m=np.nan, spread_m=np.nan, rmse_m=0.08)
    return pd.concat([spde, other])


def _curve(axes, colour: str) -> np.ndarray:
    line = next(line for line in axes.lines if line.get_color() == colour)
    return np.asarray(line.get_xydata(), dtype=float)


def test_score_error_and_crps_stand_against_the_lead(table, house_rules) -> None:
    figure = leads.lead_curves(table)
    house_rules(figure)
    assert [axes.get_xlabel() for axes in figure.axes] == 3 * ["lead [day]"]
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "µ = 1 − RMSE/RMS [1]",
        "RMSE, spread [cm]",
        "CRPS [cm]",
    ]
    colour = style.METHODS["4dvarnet_spde"].colour
    expected = [[lead, 2 + lead] for lead in range(5)]
    np.testing.assert_allclose(_curve(figure.axes[1], colour), expected)
    names = [text.get_text() for text in figure.legends[0].texts]
    assert names == ["persistence", "4DVarNet-SPDE", "spread"]


def test_intervals_are_those_of_the_table_and_do_not_hide_each_other(table) -> None:
    axes = leads.lead_curves(table).axes[0]
    places = []
    for bars in axes.containers:
        assert isinstance(bars, ErrorbarContainer)
        ends = np.array(bars[2][0].get_segments())
        np.testing.assert_allclose(ends[:, 1, 1] - ends[:, 0, 1], 0.03)
        np.testing.assert_allclose(ends[:, 0, 1], 0.94 - 0.03 * np.arange(5))
        places.append(ends[:, 0, 0])
    assert np.abs(places[0] - places[1]).min() > 0.05


def test_without_probabilities_there_is_no_spread_and_no_crps(table, house_rules) -> None:
    figure = leads.lead_curves(table[table["method"] == "persistence"])
    house_rules(figure)
    assert [axes.get_ylabel() for axes in figure.axes][1:] == ["RMSE [cm]"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["persistence"]


def test_one_lead_without_interval_can_be_drawn(table, house_rules) -> None:
    single = table[table["lead"] == 4].assign(mu_low=np.nan, mu_high=np.nan)
    figure = leads.lead_curves(single)
    house_rules(figure)
    ticks = [t for t in figure.axes[0].get_xticks() if 3.6 <= t <= 4.4]
    assert ticks == [4]


def test_what_cannot_be_drawn_is_named(table) -> None:
    with pytest.raises(ValueError, match=r"no column \['crps_m'\]"):
        leads.lead_curves(table.drop(columns="crps_m"))
    with pytest.raises(ValueError, match="no row"):
        leads.lead_curves(table.iloc[:0])
    with pytest.raises(ValueError, match="hold persistence at 4 days twice"):
        leads.lead_curves(pd.concat([table, table[table["method"] == "persistence"].iloc[:1]]))
