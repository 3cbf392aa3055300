"""What a command says on stdout, for people or for scripts."""

from app.client.errors import OutputError
from app.client.streams import ReaderGoneError, put


def tell(text: str) -> None:
    """Write and flush. Nobody who reads any more is no reason to leave work half done: it goes on quietly.

    Raises SystemExit with a sentence when it can't be written for another reason.
    """
    try:
        put(text)
    except ReaderGoneError:
        return
    except OutputError as error:
        raise SystemExit(str(error)) from None
