"""Make the Python code of the contract from protos/, or with --check tell whether it is current.

Run it as `make generate`: the generator has an environment of its own, because its version is every caller's floor.
The proto package equals the Python path, so what protoc writes is used as it is.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
TARGET = ROOT / "clients" / "python" / "src"
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the Python code of the contract.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the code is not current")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="registrar-generate-") as directory:
        made_in = Path(directory)
        if not generate(made_in):
            return 1
        stale = differences(made_in)
        if arguments.check:
            for path in stale:
                print(f"not current: {(TARGET / path).relative_to(ROOT)} (run `make generate`)", file=sys.stderr)
            return 1 if stale else 0
        for path in stale:
            install(made_in / path, TARGET / path)
        print(f"generated code: {len(stale)} of {len(generated_files(TARGET))} files changed")
    return 0


def generate(out: Path) -> bool:
    protos = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    services = [path for path in protos if declares_service(PROTOS / path)]
    scripts = Path(sys.executable).parent
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
    commands = (
        [
            *protoc,
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
            *protos,
        ],
        # Files without a service would give modules without content.
        [
            *protoc,
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--grpc_python_out={out}",
            f"--mypy_grpc_out=quiet:{out}",
            *services,
        ],
    )
    return all(subprocess.run(command, cwd=ROOT, check=False).returncode == 0 for command in commands)


def declares_service(proto: Path) -> bool:
    return any(line.startswith("service ") for line in proto.read_text(encoding="utf-8").splitlines())


def differences(made_in: Path) -> list[Path]:
    """Generated files that are missing, differ, or whose proto is gone."""
    made, present = generated_files(made_in), generated_files(TARGET)
    changed = {path for path in made & present if not filecmp.cmp(made_in / path, TARGET / path, shallow=False)}
    return sorted(changed | (made ^ present))


def generated_files(directory: Path) -> set[Path]:
    return {path.relative_to(directory) for path in directory.rglob("*_pb2*") if path.name.endswith(SUFFIXES)}


def install(made: Path, target: Path) -> None:
    if not made.exists():
        target.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, target)


if __name__ == "__main__":
    sys.exit(main())
