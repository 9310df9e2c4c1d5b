"""signatures/: of every cleaned document, a parquet file a partition; how they are made stands in its metadata.

What is signed is the text as cleaning left it, before any cut: `text.lower().split()` in shingles. So the hash of these
words is written beside each signature: it says of which text it is, whatever became of the document or its id since.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

from data_pipeline.dedup.signing import Signing
from data_pipeline.records import Part
from data_pipeline.stages.features import read_features
from data_pipeline.stages.view import Slice
from data_pipeline.storage import write_table
from foundation.files import canonical_json

METADATA = b"groundwork_signatures"  # the key of the parquet schema's metadata
ID, WORDS_HASH, SIGNATURE = "id", "words_xxh3_128", "signature"
HASH_BYTES = 16


def schema(signing: Signing) -> pa.Schema:
    """Return the schema of the files."""
    return pa.schema(
        [
            pa.field(ID, pa.large_string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("file", pa.string(), nullable=False),  # its name, as in the input
            pa.field("row", pa.int64(), nullable=False),
            pa.field(WORDS_HASH, pa.binary(HASH_BYTES), nullable=False),
            pa.field(SIGNATURE, pa.list_(pa.uint32(), signing.num_perm), nullable=False),
        ],
        {METADATA: canonical_json(signing.metadata())},
    )


def metadata_of(schema_: pa.Schema) -> object:
    """Return what stands beside stored signatures of how they are made; None where nothing does.

    Raises:
        orjson.JSONDecodeError: it is no JSON.
    """
    text = (schema_.metadata or {}).get(METADATA)
    return None if text is None else orjson.loads(text)


class SaveSignatures:
    """Runs in a worker: writes the signatures of a partition whose features are measured.

    Args:
        features: the folder of these.
        folder: of the output.
    """

    def __init__(self, signing: Signing, features: Path, folder: Path, file_names: list[str]) -> None:
        self._signing, self._features, self._folder, self._file_names = signing, features, folder, file_names

    def __call__(self, piece: Slice) -> Part:
        documents, name = piece.load(), piece.partition.name
        features = read_features(self._features, name)
        hashes = pa.py_buffer(np.ascontiguousarray(features.word_hashes[:]).tobytes())
        values = pa.array(features.signatures[:].reshape(-1))
        columns = {
            ID: documents.column("id"),
            "source": [piece.partition.source] * len(documents),
            "file": [self._file_names[file] for file in documents.column("file").to_pylist()],
            "row": documents.column("row"),
            WORDS_HASH: pa.FixedSizeBinaryArray.from_buffers(pa.binary(HASH_BYTES), len(documents), [None, hashes]),
            SIGNATURE: pa.FixedSizeListArray.from_arrays(values, self._signing.num_perm),
        }
        path = self._folder / f"{name}.parquet"
        write_table(path, pa.table(columns, schema(self._signing)))
        return Part({}, [path])
