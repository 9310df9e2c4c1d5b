"""What a device can do at most, for model FLOPs utilisation; a device that isn't listed has none.

How many FLOPs a token costs is the model's to say (`Model.flops_per_token`).
"""

from __future__ import annotations

import torch

# Dense bfloat16 with float32 accumulation, FLOP/s, from the makers' data sheets (half of the figures "with sparsity").
# The first name found in the device's decides, so a longer name stands before the name it contains.
BF16_PEAKS = {
    "B300": 2250e12,
    "B200": 2250e12,
    "H200 NVL": 836e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 NVL": 836e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 5090": 210e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "MI300X": 1307e12,
    "MI325X": 1307e12,
}


def peak_flops(device: torch.device) -> float | None:
    """Return the peak of one device in FLOP/s, dense bfloat16; None where it isn't known, and then there is no MFU.

    Args:
        device: asked for its name if it is a GPU.
    """
    return peak_of(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


def peak_of(name: str) -> float | None:
    """Return the peak of a device of this name, e.g. `NVIDIA H200`: whole words decide, an L4 is no L40."""
    words = f" {name.replace('-', ' ')} "
    return next((peak for part, peak in BF16_PEAKS.items() if f" {part} " in words), None)
