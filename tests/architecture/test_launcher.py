"""`./darkroom` finds its checkout from anywhere and leaves the caller's directory to the caller."""

import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_launcher_works_through_links_in_paths_with_spaces(tmp_path: Path) -> None:
    checkout, elsewhere = tmp_path / "check out", tmp_path / "else where"
    (checkout / "app").mkdir(parents=True)
    (checkout / "app" / "__main__.py").write_text("import os, sys; print(os.getcwd(), sys.argv[1:])")
    pretend_set_up(checkout)
    # A directory whose packages have the names of ours must not get in the way.
    (elsewhere / "app").mkdir(parents=True)
    (elsewhere / "app" / "__main__.py").write_text("raise SystemExit('the wrong app')")
    (elsewhere / "first").symlink_to("../check out/darkroom")
    (elsewhere / "second").symlink_to(elsewhere / "first")
    command = [str(elsewhere / "second"), "upload", "a b.jpg"]
    said = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert (said.stdout, said.stderr) == (f"{elsewhere} ['upload', 'a b.jpg']\n", "")


def pretend_set_up(checkout: Path) -> None:
    (checkout / "tools").mkdir()
    for name in ("darkroom", "tools/setup", "requirements.lock"):
        shutil.copy(CHECKOUT / name, checkout / name)
    version = f"python3.{sys.version_info.minor}"
    (checkout / ".venv" / "lib" / version / "site-packages").mkdir(parents=True)
    (checkout / ".venv" / "bin").mkdir()
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    shutil.copy(CHECKOUT / "requirements.lock", checkout / ".venv" / "requirements.lock")
