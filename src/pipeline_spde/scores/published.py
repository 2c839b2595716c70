"""Published scores that stand beside ours in a table, under the protocol they were made with.

NATL60, Gulf Stream box, 2012-10-22 to 2012-12-02. Sources: ocean-data-challenges/
2020a_SSH_mapping_NATL60 (commit 743d16e), CIA-Oceanix/4dvarnet-starter (20f1b5f), the author's
table of 4DVarNet-SPDE (doi:10.1175/AIES-D-24-0060.1) and jejjohnson/oceanbench (83ea5f3). Rows of
one table were not all made by the same version of its code; their last digits differ by more than
they show.
"""

from __future__ import annotations

from typing import NamedTuple


class PublishedRow(NamedTuple):
    """One row, numbers as they were printed; None where the table has no such number."""

    protocol: str
    task: str
    method: str
    observations: str
    mu: str
    sigma: str | None
    lambda_x: str
    lambda_t: str


_NADIRS, _SWOT = "4 nadirs", "4 nadirs + SWOT"

PUBLISHED = tuple(
    PublishedRow(*row)
    for row in (
        ("dc2020a-legacy", "mapping", "baseline OI", _NADIRS, "0.83", "0.04", "2.25", "15.67"),
        ("dc2020a-legacy", "mapping", "DUACS", _NADIRS, "0.92", "0.01", "1.42", "12.13"),
        ("dc2020a-legacy", "mapping", "BFN-QG", _NADIRS, "0.92", "0.02", "1.23", "10.82"),
        ("dc2020a-legacy", "mapping", "DYMOST", _NADIRS, "0.91", "0.01", "1.36", "11.91"),
        ("dc2020a-legacy", "mapping", "MIOST", _NADIRS, "0.93", "0.01", "1.35", "10.41"),
        ("dc2020a-legacy", "mapping", "4DVarNet v2022", _NADIRS, "0.94", "0.01", "0.83", "8.03"),
        ("dc2020a-legacy", "mapping", "4DVarQG", _NADIRS, "0.95", "0.01", "0.82", "5.84"),
        ("dc2020a-legacy", "mapping", "DUACS", _SWOT, "0.92", "0.02", "1.22", "11.37"),
        ("dc2020a-legacy", "mapping", "BFN-QG", _SWOT, "0.93", "0.02", "1.00", "10.24"),
        ("dc2020a-legacy", "mapping", "DYMOST", _SWOT, "0.93", "0.02", "1.19", "10.04"),
        ("dc2020a-legacy", "mapping", "MIOST", _SWOT, "0.94", "0.01", "1.18", "10.33"),
        ("dc2020a-legacy", "mapping", "4DVarNet v2022", _SWOT, "0.96", "0.01", "0.62", "4.35"),
        ("dc2020a-legacy", "mapping", "4DVarQG", _SWOT, "0.96", "0.01", "0.66", "4.65"),
        (
            "starter",
            "mapping",
            "4DVarNet large",
            "5 nadirs",
            "0.96362",
            "0.00544",
            "0.716",
            "4.681",
        ),
        ("starter", "mapping", "4DVarNet-SPDE", _SWOT, "0.94", "0.01", "0.86", "8.71"),
        ("starter", "nrt", "4DVarNet-SPDE", _SWOT, "0.89", "0.03", "1.22", "9.90"),
        ("starter", "for2", "4DVarNet-SPDE", _SWOT, "0.88", "0.03", "1.20", "13.74"),
        ("starter", "for4", "4DVarNet-SPDE", _SWOT, "0.81", "0.04", "1.37", "22.92"),
        ("oceanbench-legacy", "mapping", "DUACS", _NADIRS, "0.915", None, "174.49", "10.77"),
        ("oceanbench-legacy", "mapping", "DYMOST", _NADIRS, "0.911", None, "156.46", "11.50"),
        ("oceanbench-legacy", "mapping", "MIOST", _NADIRS, "0.927", None, "157.37", "10.07"),
        ("oceanbench-legacy", "mapping", "BFN-QG", _NADIRS, "0.927", None, "138.64", "10.43"),
        ("oceanbench-legacy", "mapping", "4DVarNet", _NADIRS, "0.942", None, "116.63", "7.74"),
        ("oceanbench-legacy", "mapping", "DUACS", _SWOT, "0.921", None, "138.61", "11.65"),
        ("oceanbench-legacy", "mapping", "MIOST", _SWOT, "0.938", None, "131.21", "10.13"),
        ("oceanbench-legacy", "mapping", "4DVarNet", _SWOT, "0.959", None, "77.35", "5.60"),
    )
)
