from __future__ import annotations

import uuid

import pytest


@pytest.fixture(params=["folder", "s3"])
def location(request, tmp_path) -> str:
    """Where a store can lie: each test that asks for it runs on a folder and on S3."""
    if request.param == "folder":
        return str(tmp_path / "store")
    return request.getfixturevalue("s3").format(uuid.uuid4().hex)
