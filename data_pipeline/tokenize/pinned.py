"""Files that a tokenizer is made of: read whole, and held against the hash that pins them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from data_pipeline.tokenize.errors import TokenizerError
from foundation.errors import require

_SHA256 = re.compile(r"(sha256:)?[0-9a-f]{64}")


def read_pinned(path: Path, pin: str | None, key: str, pin_key: str, instead: str) -> tuple[bytes, str]:
    """Return a file's bytes and their sha256 in hexadecimal.

    Args:
        pin: the sha256 that it must have; None for any.
        key, pin_key: of path and pin in the config, for errors.
        instead: what else could be done where there is no such file.
    Raises:
        TokenizerError: it is missing, can't be read, or is another.
    """
    if not path.is_file():
        raise TokenizerError(f"{key}: {path} is no file; {instead}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"{key}: {path} can't be read ({error}); {instead}") from error
    found = hashlib.sha256(data).hexdigest()
    if pin is not None and found != pin:
        raise TokenizerError(
            f"{key}: {path} has sha256 {found}, not {pin} as {pin_key} says: it was changed, damaged or is another "
            f"file; give the file that the hash was taken of, or mend {pin_key}"
        )
    return data, found


def checked_pin(pin: str | None) -> str | None:
    """Return the hash of `hash=`, as `sha256sum` prints it, or None.

    Raises:
        SettingError: it is no sha256.
    """
    if pin is None:
        return None
    lowered = pin.strip().lower()
    allowed = "the 64 hexadecimal digits that sha256sum prints"
    require(_SHA256.fullmatch(lowered) is not None, "hash", pin, allowed)
    return lowered.removeprefix("sha256:")
