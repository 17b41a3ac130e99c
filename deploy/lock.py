"""Pin what setup.cfg names, and all that it brings along, with hashes: requirements*.txt.

Run by `make lock` with the tool that requirements-lock.txt pins. Versions stay as they are where
they still fit; options such as `--upgrade` or `--upgrade-package NAME` are pip-compile's.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = "requirements.txt"
# what is installed on top of others has the same versions as they, and names the rest only
ON_TOP = {"evidence": RUNTIME, "cluster": "requirements-evidence.txt",
          "dev": "requirements-cluster.txt", "bench": RUNTIME, "mutants": RUNTIME}  # fmt: skip
ALONE = "lock"
HEADER = "# Written by `make lock` from setup.cfg, where each dependency stands with its reason.\n"


def main(options: list[str]) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    compile_pins(RUNTIME, setup["options"]["install_requires"], options)
    compile_pins(f"requirements-{ALONE}.txt", extras[ALONE], options)
    for extra, below in ON_TOP.items():
        name = f"requirements-{extra}.txt"
        compile_pins(name, extras[extra], ["--constraint", below, *options])
        leave_out(ROOT / name, below)


def compile_pins(name: str, wanted: str, options: list[str]) -> None:
    """Let pip-compile write one file, from what the registry publishes and nothing that lies here.

    A package built or changed on this machine would have a hash that nobody else can get.
    """
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes"]
    command += ["--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    command += ["--allow-unsafe", "--strip-extras"]
    local = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT")
    environment = {name: value for name, value in os.environ.items() if name not in local}
    environment |= {"PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [*command, *options, "--output-file", name, "-"],
        cwd=ROOT,
        env=environment,
        input=wanted,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"make lock: {name} is left as it was")
    path = ROOT / name
    pins = re.sub(r"(?m)^(    # .*|    #   )-r -$", r"\1setup.cfg", path.read_text())
    path.write_text(HEADER + pins)


def leave_out(path: Path, below: str) -> None:
    """Replace in a file the pins of `below`, and of what that includes, by a line for them."""
    head, *blocks = _blocks(path)
    names = {block.split()[0] for name in _with_included(below) for block in _blocks(ROOT / name)}
    rest = [block for block in blocks if block.split()[0] not in names]
    path.write_text("".join([head, f"-r {below}\n", *rest]))


def _with_included(name: str) -> list[str]:
    included = re.findall(r"(?m)^-r (.+)$", (ROOT / name).read_text())
    return [name, *(each for below in included for each in _with_included(below))]


def _blocks(path: Path) -> list[str]:
    """Return the comment at the top, then each pin with its hashes."""
    return re.split(r"(?m)^(?=[A-Za-z])", path.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
