"""Checks the repository: what a newcomer reads first is there, and files stay small enough to read."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRST_SCREEN_LINES = 40
FIRST_SCREEN = ["cargo run --release -- up --demo", "cargo test --workspace"]
REQUIRED = ["LICENSE", "Cargo.lock", "docs/architecture.md", "docs/lexicon.md"]
READABLE_LINES = 400


def tracked():
    """The files that git knows."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return [Path(name) for name in listing.stdout.decode().split("\0") if name]


def faults(files):
    """What breaks the run."""
    readme = ROOT / "README.md"
    screen = readme.read_text().splitlines()[:FIRST_SCREEN_LINES] if readme.exists() else []
    for command in FIRST_SCREEN:
        if not any(command in line for line in screen):
            yield f"README.md does not show `{command}` in its first {FIRST_SCREEN_LINES} lines"
    for name in REQUIRED:
        if not (ROOT / name).exists():
            yield f"{name} is missing"
    for file in files:
        if file.name == "mod.rs":
            yield f"{file}: modules are named name.rs"


def warnings(files):
    """What a reviewer should look at."""
    for file in files:
        source = file.suffix == ".rs" and "src" in file.parts and "tests" not in file.parts
        if source and file.name != "tests.rs" and (ROOT / file).exists():
            lines = len((ROOT / file).read_text().splitlines())
            if lines > READABLE_LINES:
                yield f"{file} has {lines} lines"


def main():
    files = tracked()
    found = list(faults(files))
    for warning in warnings(files):
        print(f"warning: {warning}")
    for fault in found:
        print(f"fault: {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
