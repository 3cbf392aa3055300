"""What goes wrong on the client's side, each as one sentence for the person at the terminal.

    ClientError
    ├── UsageError            the command line can't be meant: nothing was sent
    ├── FileProblemError      the file can't be sent, or saved, as it is
    │   └── ChangedFileError  it is no longer the one that was announced
    ├── OutputError           stdout takes nothing
    ├── TransferRefusedError  the store does not take or give the bytes
    ├── ServiceError          the service answered something that is no answer
    └── UnreachableError      the service does not answer
        ├── StoreUnavailableError  its object store does not answer it
        └── NotConnectedError nothing was sent either: no connection came about

No sentence holds a signed address, and none of these is raised `from` an error that does.
"""


class ClientError(Exception):
    """The command did not work."""


class UsageError(ClientError):
    """The command line can't be meant like this."""


class FileProblemError(ClientError):
    """The file can't be sent, or saved, as it is."""


class ChangedFileError(FileProblemError):
    """The file is no longer the one that was announced."""


class OutputError(ClientError):
    """What there is to say can't be written."""


class TransferRefusedError(ClientError):
    """The object store did not take or give the bytes."""


class ServiceError(ClientError):
    """The service gave an answer that can't be used."""


class UnreachableError(ClientError):
    """The service does not answer."""


class StoreUnavailableError(UnreachableError):
    """The service answers, but its object store does not."""


class NotConnectedError(UnreachableError):
    """No connection to the service came about, so nothing was sent."""


def reason_of(error: OSError | ValueError) -> str:
    """The operating system's words, as they stand within a sentence."""
    reason = error.strerror if isinstance(error, OSError) else None
    return (reason or str(error)).lower()
