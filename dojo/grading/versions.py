"""The versions that a grade depends on."""

from __future__ import annotations

import platform
from importlib import metadata


def versions() -> dict[str, str]:
    """Of Python, the platform, torch and nanokata."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("torch", "nanokata"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a folder
            found[package] = "not installed"
    return found
