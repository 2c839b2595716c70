from __future__ import annotations

import contourpy
import numpy as np
import pytest
import xarray as xr
from matplotlib.contour import QuadContourSet

from pipeline_spde.figures import spectra, style, truth

FREQUENCY, WAVENUMBER = np.arange(1, 21) / 42, np.arange(1, 25) / 10


def _field(scale: float) -> xr.Dataset:
    score = 1 - 0.5 * np.hypot(WAVENUMBER[None, :] * scale, FREQUENCY[:, None] * 8) ** 2
    return xr.Dataset(
        {"score": (("frequency", "wavenumber"), score)},
        coords={"frequency": FREQUENCY, "wavenumber": WAVENUMBER},
    )


def test_score_contours_mark_the_scales_on_the_half_line(house_rules) -> None:
    fields = {"4dvarnet": _field(1.0), "oi": _field(2.0)}
    field = fields["4dvarnet"]
    tracer = contourpy.contour_generator(1 / WAVENUMBER, 1 / FREQUENCY, field.score.values)
    lambda_x, lambda_t = np.concatenate(tracer.lines(0.5)).min(axis=0)
    lengths = {
        "4dvarnet": {"lambda_x": {"value": lambda_x}, "lambda_t": lambda_t},
        "oi": {"lambda_x": {"value": None, "reason": "never crosses"}},
    }
    figure = spectra.score_contours(fields, lengths)
    house_rules(figure)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["OI", "4DVarNet", "0.5 contours"]
    assert figure.axes[0].get_xlabel() == "wavelength [degree]"
    assert figure.axes[0].get_ylabel() == "period [day]"
    assert figure.axes[-1].get_ylabel() == "spectral score [1]"
    notes = [axes.texts[0].get_text() for axes in figure.axes[:2]]
    assert notes == ["λx unresolved", f"λx {lambda_x:.2f}°\nλt {lambda_t:.2f} d"]
    # the drawn contour reaches exactly the marked scales
    together = [c for c in figure.axes[2].collections if isinstance(c, QuadContourSet)]
    vertices = together[1].get_paths()[0].vertices
    np.testing.assert_allclose(vertices.min(axis=0), [lambda_x, lambda_t], rtol=1e-9)
    # small scales lie to the right and on top
    assert figure.axes[0].get_xlim()[0] > figure.axes[0].get_xlim()[1]
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1]


def test_a_score_that_never_crosses_has_no_half_line(house_rules) -> None:
    flat = _field(1.0)
    flat["score"] = xr.full_like(flat["score"], 0.2)
    figure = spectra.score_contours({"oi": flat}, {"oi": {"lambda_x": None, "lambda_t": None}})
    house_rules(figure)
    assert figure.axes[0].texts[0].get_text() == "λx unresolved\nλt unresolved"
    assert not [c for c in figure.axes[1].collections if isinstance(c, QuadContourSet)]


def test_transposed_fields_give_the_same_picture() -> None:
    plain = {"oi": _field(1.5)}
    turned = {"oi": _field(1.5).transpose("wavenumber", "frequency")}
    first, second = (
        spectra.score_contours(fields).axes[1].collections[0].get_paths()[0].vertices
        for fields in (plain, turned)
    )
    np.testing.assert_array_equal(first, second)


def _spectrum(error: float, unit: str = "1/km") -> xr.Dataset:
    k = np.arange(1, 50) / 1000
    return xr.Dataset(
        {"truth": ("wavenumber", k**-5.0), "error": ("wavenumber", error * k**-2.0)},
        coords={"wavenumber": ("wavenumber", k, {"units": unit})},
    )


def test_psd_marks_the_resolved_scale_with_its_unit(house_rules) -> None:
    resolved = {"oi_tuned": {"value": 125.0}, "4dvarnet": None}
    lines = {"4dvarnet": _spectrum(1e4), "oi_tuned": _spectrum(1e3)}
    figure = spectra.psd(lines, resolved)
    house_rules(figure)
    power, score = figure.axes
    assert power.get_xlabel() == "wavelength [km]"
    assert power.get_ylabel() == "power spectral density [m²/(1/km)]"
    assert [line.get_label() for line in power.lines] == [
        "truth",
        "error of tuned OI",
        "error of 4DVarNet",
    ]
    labels = [text.get_text() for text in score.get_legend().texts]
    assert labels == ["tuned OI: 125 km", "4DVarNet: unresolved"]
    marked = [line for line in score.lines if line.get_linestyle() == ":"]
    assert [float(line.get_xdata()[0]) for line in marked] == [1 / 125.0]


def test_resolved_scales_come_from_the_score_files_each_under_its_protocol() -> None:
    fields, zonal = {"oi": _field(2.0)}, {"oi": _spectrum(1e3)}
    protocols = {
        "starter": {"lambda_x": {"value": 1.4}, "lambda_t": {"value": 8.5}},
        "ssh-v1": {"lambda_x": {"value": 151.0}},
    }
    contours, densities = spectra.resolved_scales(fields, zonal, {"oi": {"protocols": protocols}})
    assert contours.axes[0].texts[0].get_text() == "λx 1.40°\nλt 8.50 d"
    assert densities.axes[1].get_legend().texts[0].get_text() == "OI: 151 km"
    contours, densities = spectra.resolved_scales(fields, zonal, {"oi": {"protocols": {}}})
    assert not contours.axes[0].texts
    assert densities.axes[1].get_legend().texts[0].get_text() == "OI"


def test_psd_refuses_a_wavenumber_without_unit() -> None:
    with pytest.raises(ValueError, match="expected 1/km or 1/degree"):
        spectra.psd({"oi": _spectrum(1.0, "")})


def test_isotropic_spectrum_of_a_wave_peaks_there_and_holds_its_variance() -> None:
    dx, n = 10.0, 64
    x = np.arange(n) * dx
    wave = np.cos(2 * np.pi * x * 8 / (n * dx))[None, None, :] * np.ones((2, n, 1))
    spectrum = spectra.isotropic_spectrum(wave, dx, dx)
    peak = spectrum["wavenumber"][np.argmax(spectrum["psd"])]
    assert peak == pytest.approx(8 / (n * dx))
    step = spectrum["wavenumber"][0]
    # the window spreads a line over its neighbours, all within the rings kept
    assert spectrum["psd"].sum() * step == pytest.approx(0.5, rel=1e-3)


def test_isotropic_spectrum_has_the_slope_of_its_field(rng) -> None:
    n, dx = 128, 5.0
    k = np.hypot(np.fft.fftfreq(n, dx)[:, None], np.fft.fftfreq(n, dx)[None, :])
    k[0, 0] = np.inf
    noise = np.fft.fft2(rng.standard_normal((20, n, n)))
    field = np.fft.ifft2(noise * k**-2.5).real  # 2-D power k^-5: k^-4 summed over rings
    spectrum = spectra.isotropic_spectrum(field, dx, dx)
    part = (spectrum["wavenumber"] > 0.01) & (spectrum["wavenumber"] < 0.05)
    slope = np.polyfit(*(np.log(spectrum[name][part]) for name in ("wavenumber", "psd")), 1)[0]
    assert slope == pytest.approx(-4.0, abs=0.15)


def test_isotropic_spectrum_refuses_land() -> None:
    with pytest.raises(ValueError, match="box without land"):
        spectra.isotropic_spectrum(np.full((1, 8, 8), np.nan), 1.0, 1.0)


def test_isotropic_figure_names_its_oceans(house_rules) -> None:
    one = {"wavenumber": np.arange(1, 30) / 1000, "psd": np.arange(1, 30.0) ** -5}
    figure = spectra.isotropic({"twin": one, "eNATL60": one})
    house_rules(figure)
    assert figure.axes[0].get_ylabel() == "power spectral density [m²/(1/km)]"
    assert [text.get_text() for text in figure.axes[0].get_legend().texts] == ["twin", "eNATL60"]


def test_truth_overview_has_four_labelled_panels(experiment, house_rules) -> None:
    figure = truth.truth_overview(experiment.truth)
    house_rules(figure)
    labels = {axes.get_ylabel() for axes in figure.axes} - {""}
    assert labels == {
        "sea surface height [m]",
        "standard deviation in time [m]",
        "power spectral density [m²/(1/km)]",
        "correlation of the anomaly [1]",
    }
    assert figure.axes[0].get_title() == "2012-10-25"


def test_the_spectrum_is_taken_off_the_land() -> None:
    land = np.zeros((30, 20), bool)
    assert truth.ocean_box(land) == (slice(0, 30), slice(0, None))
    land[25:, 3] = True
    assert truth.ocean_box(land) == (slice(0, 25), slice(0, None))
    assert truth.ocean_box(np.ones((30, 20), bool)) is None


def test_truth_overview_of_a_coast_everywhere_says_so(experiment, house_rules) -> None:
    coast = experiment.truth.copy(deep=True)
    coast["ssh"][:, ::5, :] = np.nan
    coast["ssh"][:, :, ::5] = np.nan
    figure = truth.truth_overview(coast)
    house_rules(figure)
    assert "no box without land" in [text.get_text() for a in figure.axes for text in a.texts]


def test_method_colours_are_the_same_as_in_other_figures() -> None:
    figure = spectra.psd({"oi": _spectrum(1.0)})
    assert figure.axes[0].lines[1].get_color() == style.METHODS["oi"].colour
