"""Train the copy descriptor.

    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=20000000000 python training/train.py PICTURES OUT --steps 3300 --seed 0

The loss is SSCD's (arXiv:2202.10261): contrastive (InfoNCE) plus a term that spreads the descriptors out.  A batch
holds pictures drawn at random and, for each of some, two of those that a teacher finds most like it: hard negatives.
Pictures that the teacher takes for copies of each other are no negatives.  (A memory of earlier batches was tried:
the descriptors ran away from it, all in one direction.)
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from edits import hard, light, plain
from network import CopyDescriptor, depthwise_in_float32
from pictures import Pictures
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

TEMPERATURE = 0.06
ENTROPY_WEIGHT = 3.0
FROZEN_BLOCKS = 5
RATE, HEAD_RATE, WEIGHT_DECAY = 3e-4, 2e-3, 1e-4
WARM_UP_STEPS = 100
AVERAGE_DECAY = 0.998
LIKE_IT = 12  # pictures most like a picture, of which two join it in a batch
SHARE_OF_LIKE = 0.5  # of a batch
SAME_TO_TEACHER = 0.5  # cosine
WEIGHTS = {"cifar10": 0.25, "openclipart": 0.5}  # how often a picture is drawn, against 1


class Pairs(Dataset):
    """Item i is a whole batch: two views of each of some pictures, uint8 (2, n, side, side, 3), and their numbers."""

    def __init__(self, pictures: Pictures, alike: np.ndarray, steps: int, pairs: int, seed: int) -> None:
        self.pictures, self.alike, self.steps, self.pairs, self.seed = pictures, alike, steps, pairs, seed
        weights = np.ones(len(pictures))
        for part, weight in WEIGHTS.items():
            weights[[part in key for key in pictures.keys]] = weight
        self.chances = weights / weights.sum()

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng([self.seed, step])
        numbers = rng.choice(len(self.pictures), self.pairs, replace=False, p=self.chances)
        centres = numbers[: int(self.pairs * SHARE_OF_LIKE / 3)]
        like = [rng.choice(self.alike[centre], 2, replace=False) for centre in centres]
        numbers = np.unique(np.concatenate([centres, *like, numbers[len(centres) :]]))  # a picture stands once
        numbers = rng.permutation(numbers)
        kept = np.isin(numbers, np.concatenate([centres, *like]))
        numbers = np.concatenate([numbers[kept], numbers[~kept]])[: self.pairs]
        others = rng.integers(0, len(self.pictures), (2, len(numbers)))
        views = [self.views(rng, *chosen) for chosen in zip(numbers, *others, strict=True)]
        return torch.from_numpy(np.array(views).swapaxes(0, 1).copy()), torch.from_numpy(numbers)

    def views(self, rng: np.random.Generator, number: int, other: int, another: int) -> tuple[np.ndarray, np.ndarray]:
        picture, kind = self.pictures[number], rng.random()
        if kind < 0.2:
            first = plain(picture)
        else:
            first = light(picture, rng) if kind < 0.5 else hard(picture, rng, self.pictures[other])
        return first, hard(picture, rng, self.pictures[another])


def teacher_descriptors(pictures: Pictures, onnx: Path) -> torch.Tensor:
    """Descriptors of the pictures by an existing copy-detection network: uint8 NHWC in, one row an image out."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx))
    given = session.get_inputs()[0]
    side = given.shape[1] if isinstance(given.shape[1], int) else 160
    rows = []
    for start in range(0, len(pictures), 64):
        batch = [
            cv2.resize(pictures[i], (side, side), interpolation=cv2.INTER_AREA)
            for i in range(start, min(start + 64, len(pictures)))
        ]
        rows.append(session.run(None, {given.name: np.array(batch)})[0])
    return functional.normalize(torch.from_numpy(np.concatenate(rows)).float())


def most_like(teacher: torch.Tensor) -> np.ndarray:
    """Of each picture the `LIKE_IT` that the teacher finds most like it, copies left out; shape (n, LIKE_IT)."""
    rows = []
    for start in range(0, len(teacher), 1024):
        cosines = teacher[start : start + 1024] @ teacher.T
        rows.append(cosines.masked_fill(cosines > SAME_TO_TEACHER, -1).topk(LIKE_IT).indices)
    return torch.cat(rows).numpy()


def loss_of(
    descriptors: torch.Tensor, numbers: torch.Tensor, teacher: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Contrastive loss and spreading loss; descriptors are of shape (2n, d), the two views one after the other."""
    pairs = len(numbers)
    twice = numbers.repeat(2)
    cosines = descriptors @ descriptors.T
    alike = teacher[twice] @ teacher[twice].T > SAME_TO_TEACHER
    alike |= twice[:, None] == twice[None]
    places = torch.arange(2 * pairs)
    partners = (places + pairs) % (2 * pairs)
    positive = cosines[places, partners]
    negatives = cosines.masked_fill(alike, -2.0)
    logits = torch.cat([positive[:, None], negatives], 1) / TEMPERATURE
    contrastive = functional.cross_entropy(logits, torch.zeros(2 * pairs, dtype=torch.long))
    nearest = negatives.max(1).values.clamp(-1, 1 - 1e-4)
    spreading = -(2 - 2 * nearest).sqrt().clamp(min=1e-4).log().mean()
    return contrastive, spreading


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    cv2.setNumThreads(1)
    pictures = Pictures(arguments.pictures)
    teacher = teacher_descriptors(pictures, arguments.teacher)
    network = CopyDescriptor()
    if arguments.init:
        network.load_state_dict(torch.load(arguments.init, weights_only=True)["network"])
    network.freeze(FROZEN_BLOCKS)
    network = network.to(memory_format=torch.channels_last).train()
    depthwise_in_float32(network)
    average = {name: value.clone() for name, value in weights_of(network)}
    body = [value for name, value in network.named_parameters() if value.requires_grad and not name.startswith("head")]
    groups = [{"params": body, "lr": RATE}, {"params": network.head.parameters(), "lr": HEAD_RATE}]
    optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, arguments.steps))
    batches = Pairs(pictures, most_like(teacher), arguments.steps, arguments.pairs, arguments.seed)
    batches = DataLoader(batches, batch_size=None, num_workers=arguments.workers, prefetch_factor=2)
    arguments.out.mkdir(parents=True, exist_ok=True)
    started, log = time.time(), (arguments.out / "log.jsonl").open("w")
    for step, (views, numbers) in enumerate(batches, 1):
        images = views.flatten(0, 1).permute(0, 3, 1, 2).float()
        with torch.autocast("cpu", torch.bfloat16):
            descriptors = network(images)
        descriptors = descriptors.float()
        contrastive, spreading = loss_of(descriptors, numbers, teacher)
        optimizer.zero_grad(set_to_none=True)
        (contrastive + ENTROPY_WEIGHT * spreading).backward()
        optimizer.step()
        rates.step()
        decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
        for name, value in weights_of(network):
            if value.dtype.is_floating_point:
                average[name].lerp_(value, 1 - decay)
            else:
                average[name].copy_(value)
        if step % 20 == 0:
            line = {
                "step": step,
                "contrastive": round(contrastive.item(), 4),
                "spreading": round(spreading.item(), 4),
                "seconds": round(time.time() - started, 1),
            }
            print(json.dumps(line), flush=True)
            log.write(json.dumps(line) + "\n")
            log.flush()
        if step % 250 == 0 or step == arguments.steps:
            torch.save({"network": average, "step": step, "made_by": made_by(arguments)}, arguments.out / "average.tmp")
            (arguments.out / "average.tmp").replace(arguments.out / "average.pt")


def weights_of(network: CopyDescriptor) -> list[tuple[str, torch.Tensor]]:
    """All weights, each once: frozen blocks have a second name."""
    return [(name, value) for name, value in network.state_dict().items() if not name.startswith("frozen.")]


def rate_at(step: int, steps: int) -> float:
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    return 0.5 + 0.5 * math.cos(math.pi * (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS))


def made_by(arguments: argparse.Namespace) -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    made = {"commit": commit, "seed": arguments.seed, "steps": arguments.steps, "pairs": arguments.pairs}
    return made | ({"after": torch.load(arguments.init, weights_only=True)["made_by"]} if arguments.init else {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--teacher", type=Path, required=True, help="ONNX file: uint8 NHWC in, descriptors out")
    parser.add_argument("--steps", type=int, default=3300)
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--init", type=Path, help="weights of an earlier run, to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    train(parser.parse_args())
