"""Serves the page's files and its chart library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


class Files:
    """Serves a directory, and single files from elsewhere, revalidated by ETag.

    Args:
        root: The directory; nothing outside it and no dotfile is served.
        elsewhere: Name to file, such as a library installed by npm.
    """

    def __init__(self, root: Path, elsewhere: Mapping[str, Path]) -> None:
        self._root = root.resolve()
        self._elsewhere = elsewhere

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Return the file of a path; `/` is `index.html`."""
        name = request.match_info["name"] or "index.html"
        path = self.find(name)
        if path is None:
            raise web.HTTPNotFound(text=self._missing(name))
        # No heuristic caching: an old module beside a new one would break the page.
        headers = {"Content-Type": TYPES[path.suffix], "Cache-Control": "no-cache"}
        return web.FileResponse(path, headers=headers)

    def find(self, name: str) -> Path | None:
        """Return the file of a name; None if none may be served."""
        if name in self._elsewhere:
            path = self._elsewhere[name]
        elif "\0" in name or any(part.startswith(".") for part in name.split("/")):
            return None
        else:
            path = (self._root / name).resolve()
            if not path.is_relative_to(self._root):
                return None
        return path if path.suffix in TYPES and path.is_file() else None

    def _missing(self, name: str) -> str:
        if name in self._elsewhere:
            return f"{name}: not installed; run `npm ci --omit=dev` once, in the project"
        return f"{name[:120]}: no such file"
