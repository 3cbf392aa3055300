"""The check of the schema against the last release, on small histories of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.sdl_check import CHECKOUT, NothingToCompareError, compare, main

RELEASED = "type Query { title(of: ID): String, size: Int!, id: ID, pages: Int }"
FIELD_ADDED = "type Query { title(of: ID): String, size: Int!, id: ID, pages: Int, width: Int }"
FIELD_REMOVED = "type Query { title(of: ID): String, id: ID, pages: Int }"
GONE = "FIELD_REMOVED: Field Query.size was removed."


class History:
    """A repository whose only file is the schema."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "schema").mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> None:
        identity = {
            f"GIT_{role}_{part}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
        }
        subprocess.run(
            ["git", "-C", self.directory, *arguments],
            env={**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull},
            check=True,
            capture_output=True,
            timeout=30,
        )

    def write(self, schema: str) -> None:
        (self.directory / "schema" / "schema.graphql").write_text(schema)

    def allow(self, *lines: str) -> None:
        (self.directory / "schema" / "breaking-changes.txt").write_text("\n".join(["# Why", *lines, ""]))

    def commit(self, schema: str, tag: str | None = None) -> None:
        self.write(schema)
        self.git("add", ".")
        self.git("commit", "--quiet", "--allow-empty", "--message", "schema")
        if tag is not None:
            self.git("tag", tag)


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """Also when the tests are run by a hook of git, which names its own repository to everybody."""
    for name in [name for name in os.environ if name.startswith("GIT_") or name == "CI"]:
        monkeypatch.delenv(name)
    return History(tmp_path / "repository")


@pytest.fixture
def released(history: History) -> History:
    history.commit(RELEASED, "v0.1.0")
    return history


def test_a_removed_field_is_named(released: History, capsys: pytest.CaptureFixture[str]) -> None:
    released.write(FIELD_REMOVED)
    assert main(released.directory) == 1
    assert f"\n  v0.1.0 {GONE}\n" in capsys.readouterr().out


def test_an_added_field_breaks_nothing(released: History) -> None:
    released.write(FIELD_ADDED)
    assert main(released.directory) == 0


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ("title(of: ID!): String, size: Int!", "ARG_CHANGED_KIND"),
        ("title(of: ID, in: ID!): String, size: Int!", "REQUIRED_ARG_ADDED"),
        ("title: String, size: Int!", "ARG_REMOVED"),
        ("title(of: ID): String, size: Int", "FIELD_CHANGED_KIND"),
    ],
)
def test_each_break_says_of_which_kind_it_is(released: History, fields: str, kind: str) -> None:
    released.write(f"type Query {{ {fields}, id: ID, pages: Int }}")
    [line] = compare(released.directory).broken
    assert line.startswith(f"{kind}: ")


def test_the_last_release_counts_and_not_one_elsewhere(released: History) -> None:
    released.git("switch", "--quiet", "--create", "elsewhere")
    released.commit(FIELD_ADDED, "v9.0.0")
    released.git("switch", "--quiet", "main")
    released.commit(FIELD_REMOVED, "v0.2.0")
    released.git("tag", "nightly")
    comparison = compare(released.directory)
    assert (comparison.tag, comparison.is_good) == ("v0.2.0", True)


def test_a_break_that_is_meant_passes(released: History) -> None:
    released.write(FIELD_REMOVED)
    released.allow(f"v0.1.0 {GONE}")
    assert main(released.directory) == 0


def test_what_was_allowed_since_an_earlier_release_is_history(released: History) -> None:
    released.allow(f"v0.0.9 {GONE}")
    assert main(released.directory) == 0
    released.write(FIELD_REMOVED)
    assert main(released.directory) == 1


def test_an_allowance_of_what_is_whole_is_refused(
    released: History, capsys: pytest.CaptureFixture[str]
) -> None:
    released.allow(f"v0.1.0 {GONE}")
    assert main(released.directory) == 1
    assert f"allows what is not so:\n  v0.1.0 {GONE}\n" in capsys.readouterr().out


def reason(checkout: Path) -> str:
    with pytest.raises(NothingToCompareError) as caught:
        compare(checkout)
    assert main(checkout) == 0
    return str(caught.value)


def test_before_the_first_release_there_is_nothing_to_compare_with(history: History) -> None:
    history.commit(RELEASED)
    assert reason(history.directory) == "There is no release yet (no tag v…)."


def test_a_release_without_a_schema_is_said(history: History) -> None:
    history.git("commit", "--quiet", "--allow-empty", "--message", "empty")
    history.git("tag", "v0.0.1")
    history.commit(RELEASED)
    assert reason(history.directory) == "v0.0.1 has no schema/schema.graphql."


def shallow_clone(history: History, clone: Path) -> Path:
    history.git("clone", "--quiet", "--depth=1", "--no-tags", f"file://{history.directory}", str(clone))
    return clone


def test_a_shallow_clone_says_how_to_get_the_release(released: History, tmp_path: Path) -> None:
    released.commit(FIELD_ADDED)
    assert "git fetch --unshallow --tags" in reason(shallow_clone(released, tmp_path / "clone"))


def test_in_ci_a_shallow_clone_does_not_pass_for_compared(
    released: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    released.commit(FIELD_REMOVED)
    clone = shallow_clone(released, tmp_path / "clone")
    monkeypatch.setenv("CI", "true")
    assert main(clone) == 0
    changelog = clone / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## Unreleased\n")
    assert main(clone) == 0
    capsys.readouterr()
    changelog.write_text("# Changelog\n\n## Unreleased\n\n## 1.0.0\n")
    assert main(clone) == 1
    said = capsys.readouterr().out
    assert said.startswith("The schema was NOT COMPARED with a release: This is a shallow clone")
    assert "git fetch --unshallow --tags" in said
    assert "In CI" in said
    released.git("-C", str(clone), "fetch", "--quiet", "--unshallow", "--tags")
    assert main(clone) == 1
    assert GONE in capsys.readouterr().out


def test_in_ci_a_whole_clone_without_releases_passes(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.commit(RELEASED)
    monkeypatch.setenv("CI", "true")
    assert reason(history.directory) == "There is no release yet (no tag v…)."


def test_a_copy_without_its_history_is_said(released: History, tmp_path: Path) -> None:
    (released.directory / ".git").rename(tmp_path / "elsewhere")
    assert "git knows no history here" in reason(released.directory)


def test_the_history_of_another_project_around_a_copy_does_not_count(
    released: History, tmp_path: Path
) -> None:
    (released.directory / ".git").rename(tmp_path / ".git")
    assert reason(released.directory) == "This is a copy without its history."


def test_without_git_it_is_said(released: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert reason(released.directory) == "There is no git here."


def test_this_schema_breaks_no_client_of_the_last_release() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "tools.sdl_check"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.startswith(("The schema answers all that", "The schema was NOT COMPARED"))
