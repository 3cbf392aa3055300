"""The settings of a service that keeps its objects in a bucket of a test's server."""

from tests.ministack import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY


def bucket_settings(endpoint: str, bucket: str, **others: str) -> dict[str, str]:
    return {
        "DARKROOM_STORAGE_URL": f"s3://{bucket}",
        "DARKROOM_S3_ENDPOINT_URL": endpoint,
        "DARKROOM_S3_REGION": REGION,
        "DARKROOM_S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "DARKROOM_S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        **others,
    }
