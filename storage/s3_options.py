"""Where the bucket is and how it is spoken to; `app` makes this of the settings."""

from dataclasses import dataclass, field
from datetime import timedelta

from storage.keys import PUBLIC_PREFIX

KMS = "aws:kms"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """Without `endpoint_url` it is AWS; without a region the environment's, else us-east-1; without keys
    those of the environment, the files or the role of this machine.

    `public_endpoint_url` is where clients reach the store, if that is another name. `path_style` None means:
    as AWS wants it there, and with the bucket in the path elsewhere. Without `conditional_writes` nothing
    keeps a signed address from overwriting: for stores that don't know `If-None-Match`.
    """

    bucket: str
    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    region: str | None = None
    path_style: bool | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    #: AES256 or aws:kms
    encryption: str | None = None
    kms_key_id: str | None = None
    conditional_writes: bool = True
    connect_timeout: timedelta = timedelta(seconds=3)
    read_timeout: timedelta = timedelta(seconds=30)

    @property
    def encryption_headers(self) -> dict[str, str]:
        """What a client's request that makes a private object says about encryption, in lower case."""
        headers: dict[str, str] = {}
        if self.encryption is not None:
            headers["x-amz-server-side-encryption"] = self.encryption
        if self.kms_key_id is not None:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = self.kms_key_id
        return headers

    def encryption_params(self, key: str) -> dict[str, str]:
        """What the object of `key` is encrypted with, as the client library names it.

        S3 gives what lies under aws:kms to nobody who comes unsigned: what is public is AES256.
        """
        if self.encryption is None:
            return {}
        if self.encryption == KMS and key.startswith(PUBLIC_PREFIX):
            return {"ServerSideEncryption": "AES256"}
        params = {"ServerSideEncryption": self.encryption}
        if self.kms_key_id is not None:
            params["SSEKMSKeyId"] = self.kms_key_id
        return params

    @property
    def in_path(self) -> bool:
        """Whether the bucket stands in the path: a name with dots fits no wildcard certificate."""
        if self.path_style is not None:
            return self.path_style
        return self.endpoint_url is not None or "." in self.bucket

    @property
    def call_seconds(self) -> float:
        """After this time a call that moves no bytes is given up, tried again or not.

        Half of what a copy may be silent for: somebody waits for the answer.
        """
        return (self.connect_timeout + self.read_timeout / 2).total_seconds() + 2
