"""A download's temporary file, through any number of responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any, Final

from facekit.errors import OutputError, WeightsError
from facekit.weights.entry import WeightsEntry

__all__ = ["BY_HAND", "Part"]

BY_HAND: Final = "download the file by other means and give its path as the weights"
_OK, _PARTIAL_CONTENT = 200, 206


class Part:
    """The temporary file as pooch writes to it, through any number of responses.

    Attributes:
        begun: Whether the server has ever begun to send the file.
        written: Bytes in the file.
        expected: Bytes that the file has once the current response is complete.
    """

    def __init__(
        self, file: IO[bytes], entry: WeightsEntry, show: Callable[[int, int], None]
    ) -> None:
        """Begin with an empty file.

        Args:
            file: Open for writing.
            entry: What comes.
            show: Called with the bytes written so far, and with how many there will be.
        """
        self._file = file
        self._entry = entry
        self._show = show
        self._response: Any = None
        self.begun = False
        self.written = 0
        self.expected = entry.size or 0

    def begin(self, response: Any, *_: object, **__: object) -> None:  # noqa: ANN401 - of requests
        """Go on, or start again where the server sends the file from its start.

        Raises:
            WeightsError: If neither the entry nor the server says how long the file is.
        """
        self._response = response
        if response.status_code == _OK:
            self._file.seek(0)
            self._file.truncate()
            self.written = 0
        if response.status_code in {_OK, _PARTIAL_CONTENT}:
            self.begun = True
            length = response.headers.get("content-length", "")
            if length.isdecimal():
                self.expected = self.written + int(length)
            elif self._entry.size is not None:
                self.expected = self._entry.size
            else:
                # A file that was cut off would be recorded as the whole.
                reason = f"the server does not say how long the file is; {BY_HAND}"
                raise WeightsError(self._entry.url, reason)

    def end(self) -> None:
        """Let go of the connection, also after an error in mid-stream."""
        if self._response is not None:
            self._response.close()

    def write(self, chunk: bytes) -> None:
        """Append a chunk.

        Raises:
            WeightsError: If the server sends more than the entry's size.
            OutputError: If the disk is full or fails.
        """
        most = self._entry.size or self.expected
        if self.written + len(chunk) > most:
            reason = f"the server sends more than the expected {most} bytes; {BY_HAND}"
            raise WeightsError(self._entry.url, reason)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise OutputError(f"{self._file.name}: cannot be written: {error.strerror}") from error
        self.written += len(chunk)
        self._show(self.written, self._entry.size or self.expected)

    def flush(self) -> None:
        """Do nothing: pooch flushes after each chunk, closing does it once."""
