"""An installation without GraphiQL's files says so before anything is started."""

import shutil
from pathlib import Path

import pytest

from app import graphiql_page
from app.graphiql_page import missing_files
from app.operations.errors import OperationError
from app.serve import serve
from app.settings import Settings


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the page that may be broken."""
    copy = tmp_path / "dist"
    shutil.copytree(graphiql_page.BUILT, copy)
    monkeypatch.setattr(graphiql_page, "BUILT", copy)
    return copy


def test_the_page_is_whole(built: Path) -> None:
    assert missing_files() == []


def remove(built: Path, pattern: str) -> None:
    [gone] = built.glob(pattern)
    if gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.unlink()


@pytest.mark.parametrize("pattern", ["index.html", "graphiql-assets/index-*.js", "graphiql-assets"])
async def test_what_is_missing_is_named_before_anything_is_started(
    pattern: str, built: Path, tmp_path: Path
) -> None:
    remove(built, pattern)
    settings = Settings(_env_file=None, data_dir=tmp_path / "var")
    with pytest.raises(OperationError) as refused:
        await serve(settings)
    assert str(missing_files()[0]) in str(refused.value)
    assert "DARKROOM_GRAPHIQL=0" in str(refused.value)
    assert not settings.data_dir.exists()
