"""What goes wrong on the client's side, each as one sentence for the person at the terminal.

    ClientError
    ├── UsageError            the command line can't be meant: nothing was sent
    ├── FileProblemError      the file can't be sent as it is
    ├── TransferRefusedError  the store does not take the bytes
    ├── ServiceError          the service answered something that is no answer
    └── UnreachableError      the service does not answer
        └── NotConnectedError nothing was sent either: no connection came about

No sentence holds a signed address, and none of these is raised `from` an error that does.
"""


class ClientError(Exception):
    """The upload did not work."""


class UsageError(ClientError):
    """The command line can't be meant like this."""


class FileProblemError(ClientError):
    """The file can't be sent as it is."""


class TransferRefusedError(ClientError):
    """The object store did not take the bytes."""


class ServiceError(ClientError):
    """The service gave an answer that can't be used."""


class UnreachableError(ClientError):
    """The service does not answer."""


class NotConnectedError(UnreachableError):
    """No connection to the service came about, so nothing was sent."""
