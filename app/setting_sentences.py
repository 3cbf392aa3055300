"""What a setting must look like, in words: nobody should have to read a regular expression for it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_REGION = "must look like eu-central-1"
_BYTES = "must be a whole number of bytes, as in 10000000000"
_PRINTABLE = "must be of printable ASCII characters without a space, at most"

#: Where the kind of the problem does not say what is wanted.
_SHAPES = {
    "storage_url": "must look like s3://my-bucket",
    "s3_region": _REGION,
    "s3_access_key_id": f"{_PRINTABLE} 128",
    "s3_sse": "must be AES256 or aws:kms",
    "s3_sse_kms_key_id": f"{_PRINTABLE} 2048",
    "cdn_key_pair_id": "must look like K2JCJMDEHXQW5F: letters, digits, - and _, at most 128",
    "cdn_hash_algorithm": "must be SHA1 or SHA256",
    "sqs_region": _REGION,
    "log_level": "must be DEBUG, INFO, WARNING or ERROR",
}

_KINDS = {
    "bool_parsing": "must be 1 or 0",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} characters",
}


def sentence(problem: "ErrorDetails") -> str:
    """What is wanted instead, without the value; the check's own words where it has some."""
    name, kind = "_".join(map(str, problem["loc"])), problem["type"]
    if kind == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    if kind == "string_pattern_mismatch" and name in _SHAPES:
        return _SHAPES[name]
    if kind in {"int_parsing", "int_parsing_size"} and name.endswith("_bytes"):
        return _BYTES
    details = {key: _number(value) for key, value in problem.get("ctx", {}).items()}
    if kind == "enum":
        return f"must be {details['expected']}".replace("'", "")
    return _KINDS[kind].format(**details) if kind in _KINDS else problem["msg"]


def _number(value: object) -> object:
    """A limit as one would write it: 600, not 600.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
