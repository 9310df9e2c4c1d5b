from __future__ import annotations

import pytest
import torch

from pretrain.metrics.flops import peak_flops, peak_of


@pytest.mark.parametrize(
    ("name", "teraflops"),  # the names as drivers report them, the figures from NVIDIA's data sheets
    [
        ("NVIDIA H200", 989),
        ("NVIDIA H200 NVL", 836),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA GH200 480GB", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165),
    ],
)
def test_peaks_are_the_data_sheets(name: str, teraflops: float) -> None:
    assert peak_of(name) == teraflops * 1e12


@pytest.mark.parametrize("name", ["NVIDIA A1000", "Tesla T4", "NVIDIA GeForce RTX 4060", ""])
def test_an_unknown_device_has_no_peak(name: str) -> None:
    assert peak_of(name) is None


def test_a_cpu_has_no_peak() -> None:
    assert peak_flops(torch.device("cpu")) is None
