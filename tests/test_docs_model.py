"""The example of docs/adding_a_model.md is a model that keeps the contract of all models."""

import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "adding_a_model.md"


def test_the_example_keeps_the_contract(tmp_path: Path) -> None:
    found = re.findall(r"<!-- tested: (\S+) -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    blocks = dict(found)
    assert list(blocks) == ["late_fusion.py", "contract"]
    (tmp_path / "late_fusion.py").write_text(blocks["late_fusion.py"], encoding="utf-8")
    (tmp_path / "test_late_fusion.py").write_text(blocks["contract"], encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_late_fusion.py")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=600,
        env={"PYTHONPATH": f"{tmp_path}:{SOURCE}", "PATH": "/usr/bin"},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\d\d passed", done.stdout)
