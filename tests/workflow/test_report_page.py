"""The page of the report, opened from disk in a real browser and clicked through."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

pytestmark = pytest.mark.slow

RESULTS = Path("results/tiny")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
PLACE = re.compile(r"([\d.]+)° ([NS]), ([\d.]+)° ([EW])")
COLOURS = "one => [one, document.body].map((e, k) => getComputedStyle(e)[k ? GROUND : INK])"
COLOURS = COLOURS.replace("GROUND", "'backgroundColor'").replace("INK", "'color'")
HEIGHT = r" ([−-]?[\d.]+) m"


@pytest.fixture(scope="module")
def page(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """The open page; its messages and the addresses it asked for are kept."""
    if BROWSER is None:
        pytest.skip("no Chromium on this machine (chromium, chromium-browser, chrome)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as program:
        context = program.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("browser"), executable_path=BROWSER, headless=True,
            args=list(QUIET), viewport={"width": 1280, "height": 900},
        )  # fmt: skip
        page = context.new_page()
        page.messages, page.asked = [], []
        page.on("console", lambda message: page.messages.append(message.text))
        page.on("pageerror", lambda error: page.messages.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto((finished / RESULTS / "report.html").as_uri())
        page.wait_for_selector("#viewer[data-shown]")
        yield page
        context.close()


def choose(page, name: str, value: str, viewer: str = "#viewer") -> None:
    page.select_option(f"{viewer} select[name={name}]", value)


def shown(page) -> str:
    page.wait_for_timeout(150)
    return page.get_attribute("#viewer", "data-shown")


def test_it_asks_nobody_for_anything_and_complains_of_nothing(page):
    assert [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.messages == []


def test_days_go_by_button_slider_key_and_play(page):
    first = shown(page)
    page.click(".step[data-step='1']")
    second = shown(page)
    assert first.startswith("2012-10-22") and second.startswith("2012-10-23")
    page.click(".step[data-step='-1']")
    assert shown(page) == first
    page.fill("input[name=day]", "5")
    assert shown(page).startswith("2012-10-27")
    page.click("button.play")
    page.wait_for_timeout(1200)
    page.click("button.play")
    played = shown(page)
    assert played > "2012-10-28"
    page.wait_for_timeout(600)
    assert shown(page) == played  # it stands still


def test_every_method_task_and_member_is_shown(page):
    for task in ("mapping", "for2"):
        choose(page, "task", task)
        options = page.eval_on_selector_all(
            "#viewer select[name=method] option", "found => found.map(one => one.value)"
        )
        assert len(options) == {"mapping": 6, "for2": 4}[task]
        for method in options:
            choose(page, "method", method)
            assert "mean" in shown(page) or "map" in shown(page)
    choose(page, "method", "4dvarnet_spde")
    members = page.eval_on_selector_all(
        "#viewer select[name=member] option", "found => found.map(one => one.value)"
    )
    for member in members:
        choose(page, "member", member)
        assert "standard deviation" in shown(page)
    assert len(members) >= 4


def test_the_values_under_the_pointer_are_those_of_the_files(page, finished):
    choose(page, "task", "mapping")
    choose(page, "mode", "fields")
    choose(page, "method", "spde_oi")
    page.fill("input[name=day]", "3")
    shown(page)
    box = page.locator("#viewer .panels canvas").first.bounding_box()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
    page.wait_for_timeout(200)
    text = page.inner_text("#viewer .read")
    lat, south, lon, west = PLACE.search(text).groups()
    place = {"lat": float(lat) * (1 if south == "N" else -1)}
    place["lon"] = float(lon) * (1 if west == "E" else -1)
    for word, file in (
        ("truth", "data/gulfstream/truth.nc"), ("map", "maps/gulfstream/mapping/spde_oi.nc"),
    ):  # fmt: skip
        value = float(re.search(word + HEIGHT, text).group(1).replace("−", "-"))
        with xr.open_dataset(finished / RESULTS / file) as data:
            held = data["ssh"].sel(time="2012-10-25T12:00").sel(place, method="nearest")
            assert value == pytest.approx(float(held), abs=1.5e-3), (word, text)


def test_all_methods_side_by_side_and_the_prior(page):
    choose(page, "mode", "methods")
    assert shown(page).count(",") == 6  # the truth and six methods
    choose(page, "mode", "fields")
    priors = page.eval_on_selector_all(
        "#theta select[name=prior] option", "found => found.map(one => one.value)"
    )
    for prior in priors:
        choose(page, "prior", prior, "#theta")
        page.wait_for_timeout(100)
        labels = page.eval_on_selector_all(
            "#theta .panels canvas", "found => found.map(one => one.getAttribute('aria-label'))"
        )
        assert labels and all(labels)


def test_tables_sort_and_protocols_change(page):
    heading = page.locator("#protocol-1 th button", has_text="µ").first
    values = "rows => rows.map(row => row.querySelector('td.num').dataset.value).map(Number)"
    heading.click()
    once = page.eval_on_selector_all("#protocol-1 tbody tr", values)
    heading.click()
    twice = page.eval_on_selector_all("#protocol-1 tbody tr", values)
    assert once == twice[::-1] and once in (sorted(once), sorted(once)[::-1])
    page.select_option("#protocol", index=1)
    assert page.is_visible("#protocol-2") and not page.is_visible("#protocol-1")
    page.select_option("#protocol", index=0)


def test_pictures_have_words_and_sections_are_there(page):
    assert page.eval_on_selector_all("img[src]", "found => found.filter(one => !one.alt)") == []
    for name in ("scores", "maps", "prior", "ranks", "figures", "cost", "provenance"):
        assert page.locator(f"section#{name} h2").count() == 1, name
    assert "maps" in page.inner_text("#cost") and "MiB" in page.inner_text("#cost")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    width = page.evaluate("document.documentElement.scrollWidth")
    small = page.eval_on_selector_all(
        "#viewer button, #viewer select",
        "found => found.map(one => one.getBoundingClientRect().height).filter(h => h && h < 30)",
    )
    page.set_viewport_size({"width": 1280, "height": 900})
    assert width <= 390 and small == []
    assert page.messages == []


def test_text_stands_out_from_its_ground(page):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for place in ("body", ".fine", "nav a", ".lead"):
            colours = page.eval_on_selector(place, COLOURS)
            assert contrast(*colours) >= 4.5, (scheme, place, colours)
    page.emulate_media(color_scheme="light")


def contrast(first: str, second: str) -> float:
    """Contrast ratio of WCAG 2.1 of two CSS colours."""
    light = []
    for colour in (first, second):
        part = np.array([float(x) for x in re.findall(r"[\d.]+", colour)[:3]]) / 255
        linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(light) + 0.05) / (min(light) + 0.05)
