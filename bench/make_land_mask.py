"""Make src/pipeline_spde/resources/land_1-20deg.npz: the offline land mask of `pipeline_spde.land`.

Run once, by hand: `pip install global-land-mask && python bench/make_land_mask.py`. Needs 2 GB of
memory and half a minute. The source is the mask of the 30-second elevation model GLOBE (NOAA, in
the public domain) as packed by the Python package global-land-mask 1.0.0 (MIT licence, (c) 2019
Todd Karin): a 30-second cell is sea where GLOBE holds its sea flag of -500.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

CELLS_PER_DEGREE = 20
SOURCE_CELLS_PER_DEGREE = 120
ICE_SHELF_LATITUDE = -79.0  # GLOBE calls the water under ice shelves sea; there is no other so far
OUTPUT = Path(__file__).resolve().parents[1] / "src/pipeline_spde/resources/land_1-20deg.npz"


def main() -> None:
    spec = find_spec("global_land_mask")
    if spec is None or spec.origin is None:
        raise SystemExit("global-land-mask is not installed; run: pip install global-land-mask")
    with np.load(Path(spec.origin).with_name("globe_combined_mask_compressed.npz")) as source:
        land = ~source["mask"]  # rows from the north pole, columns from 180 W
    size = SOURCE_CELLS_PER_DEGREE // CELLS_PER_DEGREE
    rows, columns = 180 * CELLS_PER_DEGREE, 360 * CELLS_PER_DEGREE
    blocks = land.reshape(rows, size, columns, size).sum(axis=(1, 3), dtype=np.int32)
    mask = (2 * blocks >= size * size)[::-1].copy()  # rows from the south pole
    mask[: round((ICE_SHELF_LATITUDE + 90) * CELLS_PER_DEGREE)] = True
    OUTPUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(OUTPUT, packed=np.packbits(mask), shape=np.array(mask.shape))
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes, {100 * mask.mean():.2f} % of the cells land")


if __name__ == "__main__":
    main()
