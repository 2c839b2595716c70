"""What the tests on a cluster share: the cluster's script, and running Snakemake as a user does."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "workflow")]
