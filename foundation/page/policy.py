"""What a page may run: its own scripts, named by their hashes."""

from __future__ import annotations

import base64
import hashlib


def script_source(script: str) -> str:
    """Return what a Content-Security-Policy names a script by: nothing else on the page may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
