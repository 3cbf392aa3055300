"""Every setting, its meaning and its default. Only this module and `app.runtime` know the modes."""

import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.setting_sentences import sentence
from services.dedup import Dedup

CHECKOUT = Path(__file__).resolve().parent.parent

#: What one PUT may carry on S3, and therefore here: 5 GiB.
SINGLE_PUT_BYTES = 5 * 1024**3

#: What an object may hold on S3: 5 TiB.
OBJECT_BYTES = 5 * 1024**4


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="DARKROOM_",
        env_file=CHECKOUT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # passwords and keys among it
    )

    host: str = Field("127.0.0.1", description="Address to listen on: loopback, until accounts exist.")
    port: int = Field(8000, ge=1, le=65535, description="TCP port to listen on.")
    public_url: str | None = Field(
        None,
        description="Where clients reach this service, as in https://media.example.com; signed addresses are "
        "built from it. Default: http://<host>:<port>.",
    )
    data_dir: Path = Field(
        Path("var"),
        description="Where the private PostgreSQL, the objects and the signing secret live; "
        "a relative path begins at the checkout.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL 15 or newer, as in postgresql+asyncpg://user:password@host/database. "
        "Default: a private server in the data directory.",
    )
    secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Signs addresses and cursors; the same for all processes of an installation, at least "
        "32 characters. Default: created once in the data directory.",
    )
    allow_anonymous: bool = Field(
        False,
        description="1 lets the service listen beyond loopback although everybody is admin: only behind a "
        "gateway that asks who it is.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names, comma-separated, under which the service answers besides loopback and the "
        "public URL's.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins, comma-separated, whose pages may use the API, the stream and the signed "
        "addresses, as in http://localhost:5173.",
    )
    graphiql: bool = Field(
        True, description="0 takes GraphiQL away, the page that browsers see at /graphql; the API stays."
    )
    storage_url: str | None = Field(
        None,
        pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="Where the objects are: s3://<bucket>, on AWS or whatever speaks S3. "
        "`darkroom bucket init` makes it what it must be. Default: the data directory.",
    )
    s3_endpoint_url: str | None = Field(
        None,
        description="Where this service reaches the object store, as in http://minio:9000. Default: AWS.",
    )
    s3_public_endpoint_url: str | None = Field(
        None,
        description="Where browsers and other clients reach it, if that is another name, as in "
        "https://objects.example.com.",
    )
    s3_region: str | None = Field(
        None,
        pattern="^[a-z0-9-]{1,64}$",
        description="The bucket's region. Default: AWS_REGION or the AWS profile's, else us-east-1.",
    )
    s3_path_style: bool | None = Field(
        None,
        description="1: the bucket stands in the path; 0: in the host name. Default: 0 on AWS, 1 elsewhere.",
    )
    s3_access_key_id: str | None = Field(
        None,
        pattern="^[!-~]{1,128}$",
        description="Who this service is at the object store. Default: as AWS's own tools find out, by AWS_ "
        "variables, files or the machine's role.",
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="Its secret.")
    s3_sse: str | None = Field(
        None,
        pattern="^(AES256|aws:kms)$",
        description="How the store is told to encrypt: AES256 or aws:kms, under which public copies are "
        "AES256, as S3 gives nothing under aws:kms to strangers. Default: as the bucket says.",
    )
    s3_sse_kms_key_id: str | None = Field(
        None,
        pattern="^[!-~]{1,2048}$",
        description="The key of aws:kms. Default: AWS's own for S3.",
    )
    s3_conditional_writes: bool = Field(
        True,
        description="0 for a store that ignores If-None-Match: uploads then go to a key of their own first. "
        "The doctor finds out.",
    )
    s3_connect_timeout: float = Field(
        3, gt=0, le=60, description="Seconds within which the object store takes a connection."
    )
    s3_read_timeout: float = Field(
        30, gt=0, le=600, description="Seconds without a byte of its answer until it is given up."
    )
    cdn_url: str | None = Field(
        None,
        description="Base address of a content delivery network before the objects, as in "
        "https://cdn.example.com: what is public gets addresses beneath it.",
    )
    cdn_key_pair_id: str | None = Field(
        None,
        pattern="^[A-Za-z0-9_-]{1,128}$",
        description="What the network calls the key that signs addresses of private objects, as CloudFront "
        "checks them. Default: private objects are read from the store itself.",
    )
    cdn_private_key: SecretStr | None = Field(
        None,
        description="That key: RSA of at least 2048 bits, as PEM without a passphrase; "
        "\\n may stand for its line breaks.",
    )
    cdn_private_key_file: Path | None = Field(
        None, description="Or a file with that key; a relative path begins at the checkout."
    )
    cdn_hash_algorithm: str = Field(
        "SHA256",
        pattern="^(SHA1|SHA256)$",
        description="The hash that it signs; SHA1 for networks without the parameter Hash-Algorithm.",
    )
    cdn_purge_url: str | None = Field(
        None,
        description='Is sent a POST of {"address": …} when the network is to forget everything beneath it. '
        "Default: what was public is kept there for up to a day.",
    )
    cdn_purge_token: SecretStr | None = Field(
        None, description="Goes with that POST, as Authorization: Bearer."
    )
    max_upload_bytes: int = Field(
        SINGLE_PUT_BYTES, ge=1, le=OBJECT_BYTES, description="The largest file accepted, in bytes."
    )
    multipart_bytes: int = Field(
        100 * 1024**2,
        ge=1,
        le=SINGLE_PUT_BYTES,
        description="The largest file that is sent in one PUT, in bytes; a larger one is sent in parts.",
    )
    quota_bytes: int | None = Field(
        None,
        ge=0,
        description="What the originals of one user may hold in all, in bytes. Default: no limit.",
    )
    dedup: Dedup = Field(
        Dedup.OWNER,
        description="Whose equal files are kept once: owner, of each user; global, of all users, once they "
        "were sent and verified; global-fast, and a user who proves to hold the bytes need not send them. "
        "docs/security.md says what the last two tell of others.",
    )
    max_pixels: int = Field(
        100_000_000, ge=1, description="The largest picture decoded: width × height × frames."
    )
    worker_slots: int | None = Field(
        None,
        ge=2,
        description="Processing steps that one worker runs at once. Default: one a core, at least 2.",
    )
    sqs_url: str | None = Field(
        None,
        description="The queue to which the bucket sends its events, as in "
        "https://sqs.eu-central-1.amazonaws.com/123456789012/uploads: an upload is finalized as soon as its "
        "object is there, also if its client has gone. It is asked with the object store's key "
        "(DARKROOM_S3_ACCESS_KEY_ID), without one as AWS's own tools do.",
    )
    sqs_endpoint_url: str | None = Field(
        None,
        description="Where the queue's service answers, if it is not Amazon's, as in http://elasticmq:9324.",
    )
    sqs_region: str | None = Field(
        None,
        pattern="^[a-z0-9-]{1,64}$",
        description="The queue's region. Default: the one in its address, else us-east-1.",
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR."
    )

    @field_validator("allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("data_dir", "cdn_private_key_file")
    @classmethod
    def _from_checkout(cls, value: Path | None) -> Path | None:
        return None if value is None else CHECKOUT / value.expanduser()

    @field_validator("public_url", "cdn_url")
    @classmethod
    def _origin_only(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = _http_parts(value)
        if parts is None or parts.query or parts.fragment:
            raise ValueError("must look like https://media.example.com")
        return value.rstrip("/")

    @field_validator("s3_endpoint_url", "s3_public_endpoint_url", "sqs_endpoint_url")
    @classmethod
    def _endpoint(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            parts = _http_parts(value)
            if parts is None or parts.query or parts.fragment or "@" in parts.netloc:
                service = str(info.field_name).partition("_")[0]
                raise ValueError(f"must look like https://{service}.example.com")
        return value

    @field_validator("sqs_url")
    @classmethod
    def _queue(cls, value: str | None) -> str | None:
        if value is not None:
            parts = _http_parts(value)
            if (
                parts is None
                or parts.query
                or parts.fragment
                or "@" in parts.netloc
                or not parts.path.strip("/")
            ):
                raise ValueError("must look like https://sqs.eu-central-1.amazonaws.com/123456789012/uploads")
        return value

    @field_validator("cdn_purge_url")
    @classmethod
    def _http_address(cls, value: str | None) -> str | None:
        if value is not None:
            parts = _http_parts(value)
            if parts is None or "@" in parts.netloc:
                raise ValueError("must look like https://hooks.example.com/purge")
        return value

    @model_validator(mode="after")
    def _whole_s3(self) -> Self:
        if self.storage_url is None and (names := self._given("s3_")):
            raise ValueError(
                f"{' and '.join(names)} need{'s' * (len(names) == 1)} DARKROOM_STORAGE_URL, as in s3://my-bucket"
            )
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError("DARKROOM_S3_ACCESS_KEY_ID and DARKROOM_S3_SECRET_ACCESS_KEY come together")
        if self.s3_sse_kms_key_id is not None and self.s3_sse != "aws:kms":
            raise ValueError("DARKROOM_S3_SSE_KMS_KEY_ID needs DARKROOM_S3_SSE=aws:kms")
        return self

    @model_validator(mode="after")
    def _whole_sqs(self) -> Self:
        if self.sqs_url is None and (names := self._given("sqs_")):
            raise ValueError(f"{' and '.join(names)} need{'s' * (len(names) == 1)} DARKROOM_SQS_URL")
        return self

    @model_validator(mode="after")
    def _whole_cdn(self) -> Self:
        keys = [self.cdn_private_key, self.cdn_private_key_file]
        if None not in keys:
            raise ValueError("DARKROOM_CDN_PRIVATE_KEY and DARKROOM_CDN_PRIVATE_KEY_FILE: give one of them")
        if (self.cdn_key_pair_id is None) != (keys == [None, None]):
            raise ValueError(
                "DARKROOM_CDN_KEY_PAIR_ID and the key (DARKROOM_CDN_PRIVATE_KEY, or …_FILE) come together"
            )
        if self.cdn_url is None and (self.cdn_key_pair_id, self.cdn_purge_url) != (None, None):
            raise ValueError("DARKROOM_CDN_KEY_PAIR_ID and DARKROOM_CDN_PURGE_URL need DARKROOM_CDN_URL")
        if self.cdn_purge_token is not None and self.cdn_purge_url is None:
            raise ValueError("DARKROOM_CDN_PURGE_TOKEN needs DARKROOM_CDN_PURGE_URL")
        return self

    def _given(self, prefix: str) -> list[str]:
        """The variables of these settings that somebody has set, in the order of their names."""
        names = sorted(name for name in self.model_fields_set if name.startswith(prefix))
        return [f"DARKROOM_{name.upper()}" for name in names if getattr(self, name) is not None]

    @property
    def origin(self) -> str:
        """The address that clients use, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def hosts(self) -> list[str]:
        """Host names under which requests are answered: all others may be DNS rebinding."""
        public = urlsplit(self.origin).hostname or "localhost"
        return sorted({"localhost", "127.0.0.1", "[::1]", "::1", public, *self.allowed_hosts})

    @property
    def bucket(self) -> str | None:
        """The bucket of the objects; None where they lie in the data directory."""
        return None if self.storage_url is None else self.storage_url.removeprefix("s3://")

    @property
    def slots(self) -> int:
        return self.worker_slots or max(2, os.cpu_count() or 2)

    def refuse_exposure(self) -> None:
        """Raises SystemExit with a sentence where anonymous admins could come in from outside."""
        if not self.allow_anonymous and not is_loopback(self.host):
            raise SystemExit(
                f"Darkroom does not listen on {self.host}: there are no accounts yet, so whoever reaches it "
                "may do everything. Use DARKROOM_HOST=127.0.0.1, or set DARKROOM_ALLOW_ANONYMOUS=1 if a "
                "gateway in front of it asks who it is."
            )
        if self.host in {"0.0.0.0", "::"} and self.public_url is None:
            raise SystemExit(
                f"Signed addresses must say where clients find Darkroom, and {self.host} does not: "
                "set DARKROOM_PUBLIC_URL, as in https://media.example.com."
            )


def settings_problems(error: ValidationError) -> list[str]:
    """A line for each setting that can't be meant, without its value; those of several name them."""
    return [
        f"DARKROOM_{'_'.join(map(str, problem['loc'])).upper()}: {sentence(problem)}"
        if problem["loc"]
        else sentence(problem)
        for problem in error.errors()
    ]


def read_settings() -> Settings:
    """The settings of environment and `.env`; says what can't be meant and raises SystemExit(2)."""
    try:
        return Settings()
    except ValidationError as error:
        sys.stderr.writelines(f"{problem}\n" for problem in settings_problems(error))
        raise SystemExit(2) from None


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches that address or name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _http_parts(value: str) -> SplitResult | None:
    """None where that is no address of HTTP."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that don't close
        return None
    return parts if usable and not any(map(str.isspace, value)) else None
