from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

BUCKET = "ledgers"


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A real S3 server on this machine: ``{}`` in the URI stands for a path of the bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server.start()
        host, port = server.get_host_and_port()
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}/{{}}?scheme=http&endpoint_override={host}%3A{port}&region=us-east-1"
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def location(request, tmp_path) -> str:
    """Where a store can lie: each test that asks for it runs on a folder and on S3."""
    if request.param == "folder":
        return str(tmp_path / "store")
    return request.getfixturevalue("s3").format(uuid.uuid4().hex)
