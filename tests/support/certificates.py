"""A server's certificate of a CA of its own, as strict as Python 3.13 wants it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

DAYS = ("-days", "2")
NEW_KEY = ("-newkey", "rsa:2048", "-nodes", "-keyout")
EXTENSIONS = """\
subjectAltName=IP:127.0.0.1
basicConstraints=critical,CA:FALSE
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM."""

    authority: Path
    certificate: Path
    key: Path


def certificates(folder: Path) -> Certificates:
    """Make a CA, and a certificate for 127.0.0.1; skip the test without openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on PATH")

    def run(*command: str) -> None:
        subprocess.run([openssl, *command], cwd=folder, check=True, capture_output=True)

    (folder / "extensions").write_text(EXTENSIONS)
    run("req", "-x509", *NEW_KEY, "ca.key", "-out", "ca.pem", "-subj", "/CN=our own CA", *DAYS,
        "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    run("req", *NEW_KEY, "key.pem", "-out", "request", "-subj", "/CN=our own server")
    run("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "server.pem", *DAYS, "-extfile", "extensions")  # fmt: skip
    return Certificates(folder / "ca.pem", folder / "server.pem", folder / "key.pem")
