"""metadata.json: which tensors a checkpoint holds, and where each chunk of them lies. DCP's metadata as JSON."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from pretrain.checkpoint.errors import CheckpointMismatch, DamagedCheckpoint, NotTensorsOnly
from pretrain.checkpoint.integrity import Manifest, read_verified

METADATA = "metadata.json"
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
_SHOWN = 8  # differing tensors that an error lists; one wrong setting changes hundreds


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """Where a chunk's bytes begin."""

    file: str
    start: int


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A box of one tensor as it lies in a file: contiguous, in the machine's byte order."""

    place: Place
    sizes: torch.Size
    dtype: torch.dtype

    @property
    def size_bytes(self) -> int:
        return math.prod(self.sizes) * self.dtype.itemsize


def chunk_of(metadata: Metadata, index: MetadataIndex) -> StoredChunk:
    """Return what `read_description` found at this index."""
    chunk = metadata.storage_data[index]
    assert isinstance(chunk, StoredChunk)
    return chunk


def dtype_name(name: str, dtype: torch.dtype) -> str:
    """Return what metadata.json calls the dtype of the tensor `name`.

    Raises:
        NotTensorsOnly: this format has no word for it.
    """
    word = str(dtype).removeprefix("torch.")
    if word not in _DTYPES:
        raise NotTensorsOnly(f"{name}: dtype {word} can't be saved; allowed are {', '.join(_DTYPES)}")
    return word


def require_tensors(tensors: dict[str, Any]) -> None:
    """Check that these can be saved.

    Raises:
        NotTensorsOnly: names the first that is no tensor, or of a dtype without a word here.
    """
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise NotTensorsOnly(f"{name}: not a tensor; other state belongs into facts, as JSON")
        dtype_name(name, tensor.dtype)


def describe(metadata: Metadata, places: dict[MetadataIndex, Place]) -> dict[str, Any]:
    """Return DCP's metadata as JSON values.

    Args:
        metadata: of the global save plan.
        places: of every chunk in it.
    """
    tensors = {}
    for name, entry in metadata.state_dict_metadata.items():
        assert isinstance(entry, TensorStorageMetadata)  # the writer refused all else
        dtype = dtype_name(name, entry.properties.dtype)
        chunks = [_describe_chunk(chunk, places[MetadataIndex(name, chunk.offsets)]) for chunk in entry.chunks]
        tensors[name] = {"dtype": dtype, "shape": list(entry.size), "chunks": chunks}
    return {"byteorder": sys.byteorder, "tensors": tensors}


def _describe_chunk(chunk: ChunkStorageMetadata, place: Place) -> dict[str, Any]:
    return {"offsets": list(chunk.offsets), "sizes": list(chunk.sizes), "file": place.file, "start": place.start}


def read_description(folder: Path, manifest: Manifest) -> Metadata:
    """Read a checkpoint's metadata.json, verified.

    Raises:
        DamagedCheckpoint: it isn't the one saved, or doesn't describe the files that the manifest lists.
    """
    path = folder / METADATA
    data = read_verified(folder, manifest, METADATA)
    try:
        return _parse(orjson.loads(data), manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedCheckpoint(f"{path}: not a description of tensors ({error})") from error


def _parse(value: dict[str, Any], manifest: Manifest) -> Metadata:
    if value["byteorder"] != sys.byteorder:
        raise ValueError(f"byte order {value['byteorder']}, this machine has {sys.byteorder}")
    tensors: dict[str, TensorStorageMetadata] = {}
    stored: dict[MetadataIndex, StoredChunk] = {}
    for name, entry in value["tensors"].items():
        dtype, shape, chunks = _DTYPES[entry["dtype"]], torch.Size(entry["shape"]), entry["chunks"]
        boxes = [ChunkStorageMetadata(torch.Size(chunk["offsets"]), torch.Size(chunk["sizes"])) for chunk in chunks]
        _check_boxes(name, shape, boxes)
        tensors[name] = TensorStorageMetadata(TensorProperties(dtype=dtype), shape, boxes)
        for chunk, box in zip(chunks, boxes, strict=True):
            found = StoredChunk(Place(chunk["file"], chunk["start"]), box.sizes, dtype)
            if not 0 <= found.place.start <= manifest.files[found.place.file].size_bytes - found.size_bytes:
                raise ValueError(f"{name} lies outside {found.place.file}")
            stored[MetadataIndex(name, box.offsets)] = found
    return Metadata(dict(tensors), storage_data=stored)


def _check_boxes(name: str, shape: torch.Size, boxes: list[ChunkStorageMetadata]) -> None:
    for box in boxes:
        for whole, offset, size in zip(shape, box.offsets, box.sizes, strict=True):
            if not 0 <= offset <= offset + size <= whole:
                raise ValueError(f"a chunk of {name} lies outside it")
    if sum(math.prod(box.sizes) for box in boxes) != math.prod(shape):
        raise ValueError(f"the chunks of {name} do not cover it")


def require_same_tensors(folder: Path, metadata: Metadata, tensors: dict[str, Tensor]) -> None:
    """Check that the checkpoint holds exactly the live tensors: names, shapes, dtypes.

    Raises:
        CheckpointMismatch: lists what is missing, extra or different.
    """
    saved = metadata.state_dict_metadata
    found = [f"{name}: not in the checkpoint" for name in sorted(tensors.keys() - saved.keys())]
    found += [f"{name}: only in the checkpoint" for name in sorted(saved.keys() - tensors.keys())]
    for name in sorted(tensors.keys() & saved.keys()):
        entry, tensor = saved[name], tensors[name]
        assert isinstance(entry, TensorStorageMetadata)
        if entry.size != tensor.shape:
            found.append(f"{name}: shape {list(entry.size)} in the checkpoint, {list(tensor.shape)} in this run")
        if entry.properties.dtype != tensor.dtype:
            found.append(f"{name}: {entry.properties.dtype} in the checkpoint, {tensor.dtype} in this run")
    if found:
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        listed = "\n  ".join(found[:_SHOWN])
        raise CheckpointMismatch(
            f"{folder}: not a checkpoint of this model and optimizer:\n  {listed}{more}\n"
            "set model and optim as they were, or choose another run_name"
        )
