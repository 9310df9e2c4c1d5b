#!/usr/bin/env bash
# GPT-2 124M on one Hopper GPU against nanoGPT, in one call of under 10 minutes:
#
#     bash benchmarks/h200.sh <clone of nanoGPT> [markdown file]
#
# bfloat16, torch.compile on both sides, half a million tokens a step; each side at the best of three micro batches, found
# in the same call. PYTHON= names the interpreter. LOOP=1 measures the whole commands too (it needs every dependency and
# some minutes more).
set -euo pipefail

peer_dir=${1:?"usage: bash benchmarks/h200.sh <clone of nanoGPT> [markdown file]"}
out=${2:-h200.md}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

nvidia-smi --query-gpu=name,driver_version,power.limit,clocks.max.sm --format=csv,noheader >&2
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
"${PYTHON:-python3}" "$root/benchmarks/train.py" \
    --peer-dir "$peer_dir" --out "$out" --models gpt_small --device cuda --precision bfloat16 --compile \
    --seq-len 1024 --batch-size 512 --micro-batch-sizes 16 32 64 --warmup 3 --steps 4 --repeats 7 ${LOOP:+--loop}
