"""The end of a log that another program writes: new lines, through rotation and truncation. It never keeps a line."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_MOST = 1 << 20  # bytes taken in one look; of more, only the newest are read
_LINE = 1 << 16  # bytes of a line without an end


class Tail:
    """Follows one path; a file that is not there yet is waited for.

    The file is held open, so that what its writer adds between our last look and a rotation is read, too. Which file it is
    is told by device and inode; one that has become shorter was emptied, and is read from its beginning.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""  # the beginning of a line that has no end yet
        self.fault: str | None = None  # why nothing can be read; None while all is well or there is no file
        self.skipped = 0  # bytes that were too many for one look

    def skip(self) -> None:
        """Begin at the end of the file as it is now; what is in it already is no news."""
        self._close()
        if self._open():
            self._seek_end()

    def lines(self) -> list[str]:
        """The lines completed since the last look, without their ends; bytes that are no UTF-8 become U+FFFD."""
        found: list[str] = []
        if self._file is not None:
            found += self._read()
            if not self._rotated():
                return found
            found += self._read()  # what came in between
            if self._rest:
                found.append(self._text(self._rest))  # nobody will finish it now
            self._close()
        if self._open():
            found += self._read()
        return found

    def close(self) -> None:
        self._close()

    def _open(self) -> bool:
        self.fault = None
        try:
            self._file = self._path.open("rb", buffering=0)
        except FileNotFoundError:
            return False
        except OSError as error:
            self.fault = f"{self._path.name} cannot be read: {error.strerror or error}"
            return False
        return True

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file, self._rest = None, b""

    def _seek_end(self) -> None:
        assert self._file is not None
        self._file.seek(0, os.SEEK_END)

    def _rotated(self) -> bool:
        """True when the path is another file by now, or none."""
        assert self._file is not None
        try:
            now, held = self._path.stat(), os.fstat(self._file.fileno())
        except OSError:
            return True
        return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino)

    def _read(self) -> list[str]:
        assert self._file is not None
        try:
            size, at = os.fstat(self._file.fileno()).st_size, self._file.tell()
            if size < at:
                self._file.seek(0)
                self._rest, at = b"", 0
            if size - at > _MOST:
                self.skipped += size - at - _MOST
                self._file.seek(size - _MOST)
                self._rest = b""
            new = b""
            while len(new) < _MOST and (block := self._file.read(_MOST - len(new))):
                new += block
        except OSError as error:
            self.fault = f"{self._path.name} cannot be read: {error.strerror or error}"
            self._close()
            return []
        *whole, rest = (self._rest + new).split(b"\n")
        self._rest = rest[-_LINE:]
        return [self._text(line) for line in whole]

    def _text(self, line: bytes) -> str:
        return line.removesuffix(b"\r").decode("utf-8", errors="replace")
