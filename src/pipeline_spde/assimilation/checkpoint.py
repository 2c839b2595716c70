"""A trained network on disk: plain tensors and a JSON-like description, nothing to run."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_spde.config import NETWORK_CONFIGS, AnyNetworkConfig, StateModelConfig
from pipeline_spde.files import DataError, atomic_path
from pipeline_spde.periods import Task

FORMAT = "pipeline_spde state model 1"


@dataclass(frozen=True, eq=False)
class StateCheckpoint:
    """A trained network (4DVarNet or UNet) with all that its use depends on.

    `networks.trained` makes the network of it.

    Attributes:
        model: the architecture; its `method` says which network it is.
        weights: parameter name -> tensor.
        task: what it was trained for.
        mean: average over the domain of the mean height that was removed in training, m (for
            information: the mean to remove is that of the domain mapped).
        std: what anomalies and errors are divided by, m; it belongs to the weights.
        spacing_km: (dy, dx) of the cells it was trained on.
        seed: of the training.
        config_hash: hash of the training's configuration.
        training: summary of the training, JSON-able.
        version: of the code that wrote it.
    """

    model: AnyNetworkConfig
    weights: Mapping[str, Tensor]
    task: str
    mean: float
    std: float
    spacing_km: tuple[float, float]
    seed: int
    config_hash: str
    version: str
    training: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write the checkpoint atomically; equal checkpoints give equal files."""
        about = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "weights"}
        about |= {
            "method": self.model.method,
            "model": self.model.model_dump(mode="json"),
            "spacing_km": list(self.spacing_km),
            "training": dict(self.training),
        }
        weights = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in self.weights.items()
        }
        buffer = io.BytesIO()  # a path would put its own name inside the file
        torch.save({"format": FORMAT, "about": about, "weights": weights}, buffer)
        with atomic_path(path) as temporary:
            temporary.write_bytes(buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> StateCheckpoint:
        """Read a checkpoint.

        Raises:
            FileNotFoundError: no such file.
            DataError: truncated, damaged, or not a checkpoint of this package.
        """
        content = read_torch(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            found = (
                content.get("format", sorted(map(str, content)))
                if isinstance(content, dict)
                else type(content).__name__
            )
            raise DataError(
                f"{path}: not a state model of this package: expected the format {FORMAT!r}, "
                f"found {found}; train one, or name the right file"
            )
        about = dict(content["about"])
        try:
            method = about.pop("method", StateModelConfig.method)  # not in the oldest files
            about["model"] = NETWORK_CONFIGS[method].model_validate(about["model"])
            about["spacing_km"] = tuple(about["spacing_km"])
            Task(name=about["task"])
            return cls(weights=content["weights"], **about)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: the description in the checkpoint does not fit ({error}); it was "
                f"written by {about.get('version', 'an unknown version')}: train it again"
            ) from error


def read_torch(path: str | Path) -> Any:
    """Read a file written by `torch.save`, tensors and plain values only, to the CPU.

    Raises:
        FileNotFoundError: no such file.
        DataError: empty, truncated, or holding anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; train the model first")
    try:
        _require_sound(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (
        RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:  # fmt: skip
        reason = str(error).split("\n", 1)[0]
        raise DataError(
            f"{path}: cannot be read as a checkpoint ({reason}); it may be truncated or another "
            "kind of file: delete it and train again"
        ) from error


def _require_sound(path: Path) -> None:
    """Raise ValueError where the checksums in the file are not those of its data.

    torch.load does not look at them: weights with a damaged block would be used as they are.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} is wrong")


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights into a network.

    Raises:
        ValueError: they belong to another architecture; the message names what differs.
    """
    own = network.state_dict()
    differing = [
        f"{name}: {list(weights[name].shape) if name in weights else 'missing'} instead of "
        f"{list(tensor.shape)}"
        for name, tensor in own.items()
        if name not in weights or weights[name].shape != tensor.shape
    ]
    differing += [f"{name}: unknown" for name in weights if name not in own]
    if differing:
        raise ValueError(
            "the weights belong to another architecture: "
            + "; ".join(differing[:4])
            + f" ({len(differing)} in all); use the model settings they were trained with"
        )
    network.load_state_dict(dict(weights))
