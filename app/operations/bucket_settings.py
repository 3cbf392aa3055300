"""What a bucket must be set to, and how far it is: pure comparisons, without a call.

Foreign rules and statements stay: ours are known by their names, and a foreign rule that does the same will
do.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from app.settings import Settings
from storage.keys import PUBLIC_PREFIX

Rule = Mapping[str, Any]

CORS_RULE = "darkroom"
PUBLIC_CORS_RULE = "darkroom-public"
LIFECYCLE_RULE = "darkroom-stale-uploads"
POLICY_STATEMENT = "DarkroomPublic"

#: More than the day that an upload lives.
STALE_DAYS = 2

_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
_METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
_EXPOSED = ("ETag", "Content-Range", "Accept-Ranges", "Content-Length")
_PREFLIGHT_SECONDS = 600


def origins(settings: Settings) -> list[str]:
    """Whose pages send and fetch: the service's own, and those of DARKROOM_CORS_ORIGINS."""
    own = urlsplit(settings.origin)
    return sorted({f"{own.scheme}://{own.netloc}", *settings.cors_origins})


def cors_is_enough(rules: Sequence[Rule], wanted: Sequence[str]) -> bool:
    """Whether the pages of each origin may use every method and see ETags."""
    return all(any(_lets(rule, origin) for rule in rules) for origin in wanted)


def cors_rules(rules: Sequence[Rule], wanted: Sequence[str]) -> list[Rule]:
    """All rules as they must be; the first that fits counts, so ours come first."""
    ours = [
        {
            "ID": CORS_RULE,
            "AllowedOrigins": list(wanted),
            "AllowedMethods": list(_METHODS),
            "AllowedHeaders": ["*"],
            "ExposeHeaders": list(_EXPOSED),
            "MaxAgeSeconds": _PREFLIGHT_SECONDS,
        },
        # What is public says the same to every page; and whoever holds a signed address may read it anyway.
        {
            "ID": PUBLIC_CORS_RULE,
            "AllowedOrigins": ["*"],
            "AllowedMethods": ["GET", "HEAD"],
            "ExposeHeaders": list(_EXPOSED),
            "MaxAgeSeconds": _PREFLIGHT_SECONDS,
        },
    ]
    return ours + [rule for rule in rules if rule.get("ID") not in {CORS_RULE, PUBLIC_CORS_RULE}]


def _lets(rule: Rule, origin: str) -> bool:
    exposed = {name.lower() for name in rule.get("ExposeHeaders", [])}
    return (
        bool({origin, "*"} & set(rule.get("AllowedOrigins", [])))
        and set(_METHODS) <= set(rule.get("AllowedMethods", []))
        and "*" in rule.get("AllowedHeaders", [])
        and bool({"etag", "*"} & exposed)
    )


def aborts_stale(rules: Sequence[Rule]) -> bool:
    return any(_abort_days(rule) >= STALE_DAYS for rule in rules)


def aborts_too_early(rules: Sequence[Rule]) -> bool:
    """Whether a rule, ours or not, ends uploads that may still be going on."""
    return any(0 < _abort_days(rule, anywhere=True) < STALE_DAYS for rule in rules)


def lifecycle_rules(rules: Sequence[Rule]) -> list[Rule]:
    """All rules as they must be, ours in the form of the others: S3 takes no Filter beside a bare Prefix."""
    foreign = [rule for rule in rules if rule.get("ID") != LIFECYCLE_RULE]
    everything = {"Prefix": ""}
    ours = {
        "ID": LIFECYCLE_RULE,
        "Status": "Enabled",
        **(everything if any("Prefix" in rule for rule in foreign) else {"Filter": everything}),
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": STALE_DAYS},
    }
    return [*foreign, ours]


def _abort_days(rule: Rule, *, anywhere: bool = False) -> int:
    """The days after which the rule aborts uploads; 0 if it does not, or not in the whole bucket."""
    filter_ = rule.get("Filter", {})
    whole = not rule.get("Prefix") and not {key: value for key, value in filter_.items() if value}
    if rule.get("Status") != "Enabled" or not (whole or anywhere):
        return 0
    return int(rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation", 0))


def public_access(settings: Settings) -> dict[str, bool]:
    """Behind a network nothing is public; without one the policy below is, and nothing else."""
    behind_cdn = settings.cdn_url is not None
    return {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": behind_cdn,
        "RestrictPublicBuckets": behind_cdn,
    }


def policy_is_right(policy: Mapping[str, Any], settings: Settings, *, bucket: str, region: str) -> bool:
    ours = [each for each in _statements(policy) if each.get("Sid") == POLICY_STATEMENT]
    return ours == _wanted_statements(settings, bucket, region)


def policy_document(policy: Mapping[str, Any], settings: Settings, *, bucket: str, region: str) -> str | None:
    """The whole policy as it must be; None where nothing stays."""
    foreign = [each for each in _statements(policy) if each.get("Sid") != POLICY_STATEMENT]
    statements = foreign + _wanted_statements(settings, bucket, region)
    if not statements:
        return None
    return json.dumps({"Version": "2012-10-17", **policy, "Statement": statements})


def _wanted_statements(settings: Settings, bucket: str, region: str) -> list[dict[str, Any]]:
    if settings.cdn_url is not None:
        return []
    partition = next((name for begin, name in _PARTITIONS.items() if region.startswith(begin)), "aws")
    return [
        {
            "Sid": POLICY_STATEMENT,
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:{partition}:s3:::{bucket}/{PUBLIC_PREFIX}*",
        }
    ]


def _statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = policy.get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)
