"""The ways in which a store can refuse or fail; the docstring of a class is its default message.

    StorageError
    ├── InvalidKeyError
    ├── ObjectMissingError
    ├── ObjectExistsError
    ├── ObjectChangedError
    ├── MultipartMissingError
    ├── TooManyMultipartsError
    ├── PartsChangedError
    ├── SizeMismatchError
    ├── ChecksumMismatchError
    ├── StorageFullError
    └── StorageUnavailableError

`code` is stable: clients and tests may compare it, sentences may change.
"""

import inspect
from typing import ClassVar


class StorageError(Exception):
    """The object store could not do what was asked."""

    code: ClassVar[str] = "STORAGE_ERROR"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(self.__doc__ or ""))


class InvalidKeyError(StorageError):
    """This is not a key that the object store accepts."""

    code = "INVALID_KEY"


class ObjectMissingError(StorageError):
    """No object is stored under this key."""

    code = "OBJECT_MISSING"


class ObjectExistsError(StorageError):
    """An object is stored under this key already: finalize it, there is nothing to send again."""

    code = "OBJECT_EXISTS"


class ObjectChangedError(StorageError):
    """The object is not the one that was looked at before."""

    code = "OBJECT_CHANGED"


class MultipartMissingError(StorageError):
    """There is no such multipart upload: it was completed or aborted, or never begun."""

    code = "MULTIPART_MISSING"


class TooManyMultipartsError(StorageError):
    """Ten multipart uploads to this key are open already: go on with one of them, or abort one."""

    code = "TOO_MANY_MULTIPARTS"


class PartsChangedError(StorageError):
    """A part is not stored, or not the one that was listed: list the parts again."""

    code = "PARTS_CHANGED"


class SizeMismatchError(StorageError):
    """The body is not as long as it was signed to be."""

    code = "SIZE_MISMATCH"

    def __init__(self, message: str | None = None, *, expected: int, actual: int) -> None:
        super().__init__(message or f"The body has {actual} bytes, the upload was signed for {expected}.")
        self.expected = expected
        self.actual = actual


class ChecksumMismatchError(StorageError):
    """The body's hash is not the signed one."""

    code = "CHECKSUM_MISMATCH"

    def __init__(self, *, algorithm: str, expected: str, actual: str) -> None:
        super().__init__(f"The body's {algorithm} is {actual}, the upload was signed for {expected}.")
        self.algorithm = algorithm
        self.expected = expected
        self.actual = actual


class StorageFullError(StorageError):
    """The object store has no room for these bytes; nothing of them was kept."""

    code = "STORAGE_FULL"


class StorageUnavailableError(StorageError):
    """The object store cannot be reached or does not work; trying again later may help."""

    code = "STORAGE_UNAVAILABLE"
