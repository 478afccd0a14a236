"""The house is as its documents say: imports run one way, links lead somewhere, the lock is complete and anonymous."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_imports_run_one_way() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_the_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def commands_of(document: Path) -> list[str]:
    """Return the commands in a document's blocks of code, without remarks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).splitlines()
    return [line.split(" #")[0].rstrip() for line in lines if line.startswith(("make ", "heatwatch "))]


def test_both_readmes_show_the_same_commands() -> None:
    english, chinese = commands_of(ROOT / "README.md"), commands_of(ROOT / "README.zh-CN.md")
    assert english == chinese
    assert english[:2] == ["make demo", "make test"]


def test_each_rule_has_its_place_and_the_place_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (R\d+) \|[^|]*\|(.*)\|$", text, re.MULTILINE))
    assert list(rows) == [f"R{number}" for number in range(1, 36)]
    named = {path for row in rows.values() for path in re.findall(r"`([\w/]+(?:\.\w+|/))`", row)}
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_every_decision_is_listed() -> None:
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in ROOT.glob("docs/decisions/0*.md") if path.name not in listed] == []


def test_the_lock_has_every_dependency_with_hashes_and_without_addresses() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert not re.search(r"^--(?!hash)", lock, re.MULTILINE)
    pinned = re.findall(r"^(\S+?)==.*\\\n +--hash=", lock, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^\S+==", lock, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    names = {re.split(r"[\[<>=~!;]", wish)[0].lower() for wish in wanted}
    assert names - set(pinned) == set()
