"""A small diffusion model of small pictures, and its training on a CPU."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dedupkit.audit.diffusion import Drawing, draw
from dedupkit.audit.model import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sets import Pictures

    from dedupkit.audit.model import Captions

TIMESTEPS = 1000
_WORDS = 64  # values that a caption's words are hashed to
_WAVES = 32
_ENDS = 0.01  # shares of the cosine schedule left out at both ends, where signal or level would be 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What a model looks like.

    Parameters
    ----------
    side : int
        Pixels a side.
    channels : int
        3 for RGB, 1 for grey.
    conditional : bool
        Whether it is told captions.
    width, blocks : int
        Of the residual MLP.
    """

    side: int
    channels: int
    conditional: bool = False
    width: int = 512
    blocks: int = 4

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a picture in the model's space."""
        return self.channels, self.side, self.side


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a model is trained.

    Parameters
    ----------
    steps, batch : int
        Steps, and pictures in each.
    learning_rate : float
        Of Adam, reached after 50 steps; a cosine takes it to 0.
    forgotten : float
        Share of captions that are left out, so that the model learns to do without.
    """

    steps: int = 1500
    batch: int = 256
    learning_rate: float = 1e-3
    forgotten: float = 0.1


class _Block(torch.nn.Module):
    """Adds to its input what two layers make of it and of what is told."""

    def __init__(self, width: int, told: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.first, self.told = torch.nn.Linear(width, width), torch.nn.Linear(told, width)
        self.last = torch.nn.Linear(width, width)
        torch.nn.init.zeros_(self.last.weight)

    def forward(self, values: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        inner = torch.nn.functional.silu(self.first(self.norm(values)) + self.told(told))
        added: torch.Tensor = values + self.last(inner)
        return added


class _Network(torch.nn.Module):
    """Tells the velocity, ``signal * noise - level * clean``, of noisy pictures (arXiv 2202.00512)."""

    def __init__(self, how: Architecture) -> None:
        super().__init__()
        values, told = math.prod(how.shape), 2 * _WAVES + _WORDS * how.conditional
        self.enter, self.told = torch.nn.Linear(values, how.width), torch.nn.Linear(told, how.width)
        self.blocks = torch.nn.ModuleList(_Block(how.width, told) for _ in range(how.blocks))
        self.norm, self.leave = torch.nn.LayerNorm(how.width), torch.nn.Linear(how.width, values)
        torch.nn.init.zeros_(self.leave.weight)
        self.waves = 1.5 * torch.logspace(0, 3, _WAVES)

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        angles = time[:, None] * self.waves
        told = torch.cat([angles.sin(), angles.cos(), words], dim=1)
        values = self.enter(noisy) + self.told(told)
        for block in self.blocks:
            values = block(values, told)
        velocity: torch.Tensor = self.leave(self.norm(values))
        return velocity


class SmallModel:
    """A diffusion model that an audit can ask: it draws, and tells what it sees in noise.

    Parameters
    ----------
    network : torch.nn.Module
        As `train` makes it.
    architecture : Architecture
        What it looks like.
    steps : int
        Timesteps visited in drawing (DDIM).
    """

    def __init__(self, network: torch.nn.Module, architecture: Architecture, steps: int = 40) -> None:
        self._network, self.architecture, self._drawing = network.eval(), architecture, Drawing(steps=steps)
        weights = hashlib.sha256()
        for name, value in sorted(network.state_dict().items()):
            weights.update(name.encode() + value.numpy().tobytes())
        self.identity = f"{weights.hexdigest()} in {steps} steps"

    @property
    def takes_captions(self) -> bool:
        """Whether captions change what it draws."""
        return self.architecture.conditional

    @property
    def timesteps(self) -> int:
        """Of training."""
        return TIMESTEPS

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width."""
        return self.architecture.side, self.architecture.side

    def coefficients(self, timesteps: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Signal and level of a cosine schedule."""
        angles = _angles(timesteps / (TIMESTEPS - 1))
        return np.cos(angles), np.sin(angles)

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pixels in [-1, 1]; a grey model sees the mean of the channels."""
        return encoded(images, self.architecture.channels)

    def decode(self, clean: NDArray[np.float32]) -> NDArray[np.uint8]:
        """RGB."""
        levels = np.rint((clean.clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
        return np.repeat(levels, 3 // self.architecture.channels, axis=3)

    def predict(self, noisy: NDArray[np.float32], timesteps: NDArray[np.int64], captions: Captions) -> Prediction:
        """What it sees in noisy pictures."""
        signal, level = (each[:, None, None, None].astype(np.float32) for each in self.coefficients(timesteps))
        flat = torch.from_numpy(np.ascontiguousarray(noisy, np.float32).reshape(len(noisy), -1))
        time = torch.from_numpy((timesteps / (TIMESTEPS - 1)).astype(np.float32))
        with torch.inference_mode():
            words = torch.from_numpy(hashed_words(captions, self.architecture))
            velocity = self._network(flat, time, words).numpy().reshape(noisy.shape)
        return Prediction(signal * noisy - level * velocity, level * noisy + signal * velocity)

    def generate(self, captions: Captions, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Draw pictures."""
        return self.decode(draw(self, self.architecture.shape, captions, seeds, self._drawing))

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``weights.pt``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text(json.dumps(asdict(self.architecture)))
        torch.save(self._network.state_dict(), folder / "weights.pt")

    @classmethod
    def load(cls, folder: Path) -> SmallModel:
        """Read what `save` wrote."""
        architecture = Architecture(**json.loads((Path(folder) / "model.json").read_text()))
        network = _Network(architecture)
        network.load_state_dict(torch.load(Path(folder) / "weights.pt", weights_only=True))
        return cls(network, architecture)


def train(pictures: Pictures, architecture: Architecture, how: Training, seed: int) -> tuple[SmallModel, float]:
    """Train a model on a set.

    Parameters
    ----------
    pictures : Pictures
        Of the model's size; captions are not looked at unless it is told them.
    architecture, how
        The model and its training.
    seed : int
        Of weights, order and noise.

    Returns
    -------
    model : SmallModel
    loss : float
        Mean squared error of the velocity over the last tenth of the steps.
    """
    torch.manual_seed(seed)
    network = _Network(architecture)
    adam = torch.optim.Adam(network.parameters(), how.learning_rate, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: _share_of_rate(step, how.steps))
    clean = torch.from_numpy(encoded(pictures.images, architecture.channels).reshape(len(pictures), -1))
    words = torch.from_numpy(hashed_words(pictures.captions, architecture))
    even = torch.arange(how.batch) / how.batch
    losses: list[float] = []
    for _ in range(how.steps):
        rows = torch.randint(len(clean), (how.batch,))
        time = (even + torch.rand(1)) % 1  # spread evenly over the schedule: less noise in the gradient
        noise = torch.randn(how.batch, clean.shape[1])
        angles = _angles(time)[:, None]
        signal, level = torch.cos(angles), torch.sin(angles)
        told = words[rows] * (torch.rand(how.batch, 1) >= how.forgotten)
        velocity = network(signal * clean[rows] + level * noise, time, told)
        loss = torch.nn.functional.mse_loss(velocity, signal * noise - level * clean[rows])
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
        schedule.step()
        losses.append(loss.item())
    return SmallModel(network, architecture), float(np.mean(losses[-max(1, how.steps // 10) :]))


def encoded(images: NDArray[np.uint8], channels: int) -> NDArray[np.float32]:
    """Pixels in [-1, 1], shape (n, channels, side, side)."""
    pixels = images.astype(np.float32) / 127.5 - 1
    return (pixels.mean(axis=3, keepdims=True) if channels == 1 else pixels).transpose(0, 3, 1, 2)


def hashed_words(captions: Captions, architecture: Architecture) -> NDArray[np.float32]:
    """Captions as the sum of a fixed random vector for each word, shape (n, values), of a model told none (n, 0)."""
    if not architecture.conditional:
        return np.zeros((len(captions), 0), np.float32)
    found = np.zeros((len(captions), _WORDS), np.float32)
    for row, caption in enumerate(captions):
        for place, word in enumerate((caption or "").split()):
            # Of its place too, or page 3, line 7 would be page 7, line 3.
            found[row] += np.random.default_rng(zlib.crc32(f"{place} {word}".encode())).standard_normal(_WORDS)
    return found


def _angles(share: Any) -> Any:
    """Where on the quarter circle of the cosine schedule a share of it lies."""
    return (_ENDS + (1 - 2 * _ENDS) * share) * (math.pi / 2)


def _share_of_rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / 50) * (1 + math.cos(math.pi * step / steps)) / 2
