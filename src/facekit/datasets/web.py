"""One file from a web server that nobody vouches for: bounded in time, size and redirects.

Only ``http`` and ``https``, and only hosts all of whose addresses are public, unless private ones
are allowed: an annotation must not reach what stands behind the user's firewall. The connection
goes to the very address that was checked, at every redirect anew; proxies are not used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self
from urllib.parse import SplitResult, quote, urljoin, urlsplit

__all__ = ["Alarm", "Answer", "Limits", "WebError", "asked", "fetch", "next_url", "refused"]

_CHUNK: Final = 1 << 16
_OK: Final = 200
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_AGENT: Final = "facekit (face datasets; one request an image)"
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_CLASSES: Final = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """How far to go with a server.

    Attributes:
        attempts: Requests at most.
        backoff: Pause before the second request, seconds; doubled before each later one.
        timeout: Longest silence of the server, seconds.
        deadline: Longest time of one request with its redirects, seconds.
        max_bytes: Largest file.
        redirects: Redirects at most.
        allow_private: Whether hosts of the local network and of this machine may be asked.
    """

    attempts: int = 4
    backoff: float = 0.5
    timeout: float = 20.0
    deadline: float = 120.0
    max_bytes: int = 50_000_000
    redirects: int = 5
    allow_private: bool = False


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server sent.

    Attributes:
        data: The file.
        kind: Its media type as the server says, or ``""``.
        attempts: How many requests it took.
    """

    data: bytes
    kind: str
    attempts: int


class WebError(Exception):
    """A file that did not come.

    Attributes:
        passing: Whether another attempt may do better.
        attempts: How many requests were made.
    """

    def __init__(self, reason: str, *, passing: bool = False, attempts: int = 1) -> None:
        """Keep the reason.

        Args:
            reason: What went wrong, without the URL.
            passing: Whether another attempt may do better.
            attempts: How many requests were made.
        """
        super().__init__(reason)
        self.passing = passing
        self.attempts = attempts


def fetch(url: str, limits: Limits, stop: threading.Event | None = None) -> Answer:
    """Fetch a file; faults that may pass are retried, each pause twice the one before.

    Args:
        url: ``http`` or ``https``.
        limits: How far to go.
        stop: When set, no further attempt is made.

    Raises:
        WebError: If it does not come.
    """
    stop = stop or threading.Event()
    for attempt in range(1, limits.attempts + 1):
        try:
            data, kind = _fetch_once(url, limits)
            return Answer(data, kind, attempt)
        except WebError as error:
            last = attempt == limits.attempts or not error.passing
            if last or stop.wait(limits.backoff * 2 ** (attempt - 1)):
                raise WebError(str(error), passing=error.passing, attempts=attempt) from error
    raise WebError("no attempt was allowed", attempts=0)


def _fetch_once(url: str, limits: Limits) -> tuple[bytes, str]:
    """Make one request, following redirects."""
    with Alarm(limits.deadline) as alarm:
        for _ in range(limits.redirects + 1):
            with asked(url, limits, alarm) as response:
                moved = next_url(url, response)
                if moved is None:
                    return _body(response, limits, alarm), _kind(response)
                url = moved
    raise WebError(f"more than {limits.redirects} redirects")


class Alarm:
    """Cuts the connection off when the time is up, wherever the server dawdles."""

    def __init__(self, seconds: float) -> None:
        """Set the time.

        Args:
            seconds: How long after entering it rings.
        """
        self._rang = False
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        """Start."""
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait until it has."""
        self._timer.cancel()
        self._timer.join()

    def watch(self, connected: socket.socket) -> None:
        """Take the connection that is to be cut off.

        Raises:
            WebError: If the time is up already.
        """
        self._socket = connected
        self.check()

    def forget(self) -> None:
        """Let go of the connection."""
        self._socket = None

    def check(self) -> None:
        """Raise if the time is up.

        Raises:
            WebError: If it is.
        """
        if self._rang:
            raise WebError(f"took longer than {self._seconds:g} s", passing=True)

    def _ring(self) -> None:
        self._rang = True
        connected = self._socket
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def asked(
    url: str, limits: Limits, alarm: Alarm, headers: Mapping[str, str] | None = None
) -> Iterator[http.client.HTTPResponse]:
    """Send one request; give the response while the connection stands.

    Args:
        url: ``http`` or ``https``.
        limits: How far to go.
        alarm: Cuts the connection off.
        headers: More than the usual ones.

    Raises:
        WebError: If the host may not be asked, cannot be reached or breaks off.
    """
    parts, host, port = _checked(url)
    try:
        with contextlib.ExitStack() as stack:
            connected = stack.enter_context(_connected(host, port, limits))
            alarm.watch(connected)
            stack.callback(alarm.forget)
            if parts.scheme == "https":
                context = ssl.create_default_context()
                secure = context.wrap_socket(
                    connected, server_hostname=host, do_handshake_on_connect=False
                )
                alarm.watch(stack.enter_context(secure))
                secure.do_handshake()
                connected = secure
            connection = _CLASSES[parts.scheme](host, port, timeout=limits.timeout)
            connection.sock = connected
            stack.callback(connection.close)
            usual = {"User-Agent": _AGENT, "Accept": "image/*, */*;q=0.1"}
            connection.request("GET", _target(parts), headers=usual | dict(headers or {}))
            yield stack.enter_context(connection.getresponse())
    except (OSError, http.client.HTTPException) as error:
        alarm.check()
        raise _explained(error, limits) from error


def _explained(error: Exception, limits: Limits) -> WebError:
    """Say what a failure of the connection means."""
    if isinstance(error, TimeoutError):
        return WebError(f"no answer within {limits.timeout:g} s", passing=True)
    if isinstance(error, ssl.SSLCertVerificationError):
        return WebError(f"the certificate is not trusted: {error.verify_message}")
    if isinstance(error, http.client.InvalidURL):
        return WebError(f"not a URL: {error}")
    return WebError(f"the connection failed: {error or type(error).__name__}", passing=True)


def _checked(url: str) -> tuple[SplitResult, str, int]:
    """Take a URL apart, and refuse what is no address of the web."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise WebError(f"not a URL: {error}") from error
    if parts.scheme not in _CLASSES:
        raise WebError(f"only http and https are fetched, got {parts.scheme or 'no scheme'!r}")
    if not parts.hostname:
        raise WebError("not a URL: no host")
    return parts, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme]


def _target(parts: SplitResult) -> str:
    """Return the path and the query of a request, with what is not ASCII escaped."""
    query = f"?{parts.query}" if parts.query else ""
    return quote((parts.path or "/") + query, safe="/%:=&?~+!$,;'@()*[]-._")


@contextlib.contextmanager
def _connected(host: str, port: int, limits: Limits) -> Iterator[socket.socket]:
    """Connect to the first address of a host that answers."""
    last: OSError | None = None
    for family, address in _addresses(host, port, limits):
        with socket.socket(family, socket.SOCK_STREAM) as connected:
            connected.settimeout(limits.timeout)
            try:
                connected.connect(address)
            except OSError as error:
                last = error
                continue
            yield connected
            return
    raise last or OSError("the host has no address")


def _addresses(host: str, port: int, limits: Limits) -> list[tuple[int, Any]]:
    """Resolve a host, and refuse it if one of its addresses is private."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        passing = error.errno == socket.EAI_AGAIN
        raise WebError(
            f"the host {host} is not known: {error.strerror}", passing=passing
        ) from error
    except UnicodeError as error:
        raise WebError(f"not a host: {host!r}") from error
    if not limits.allow_private:
        for *_, address in found:
            if not _is_public(str(address[0])):
                reason = f"{host} is the private address {address[0]}, which is not allowed"
                raise WebError(reason)
    return [(family, address) for family, _, _, _, address in found]


def _is_public(text: str) -> bool:
    """Tell whether an address, or the one inside it, is of the public internet."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return False
        if inner is not None:
            address = inner
    return address.is_global and not address.is_multicast


def next_url(url: str, response: http.client.HTTPResponse) -> str | None:
    """Return where a redirect leads; ``None`` where the response is none.

    Raises:
        WebError: If it leads nowhere.
    """
    if response.status not in _MOVED:
        return None
    place = response.getheader("Location")
    if not place:
        raise WebError(f"HTTP {response.status} without a Location")
    try:
        return urljoin(url, place)
    except ValueError as error:
        raise WebError(f"redirected to what is no URL: {error}") from error


def refused(response: http.client.HTTPResponse) -> WebError:
    """Return the error of a status that brings no file."""
    passing = response.status in _TRANSIENT
    return WebError(f"HTTP {response.status} {response.reason}".rstrip(), passing=passing)


def _kind(response: http.client.HTTPResponse) -> str:
    """Return the media type that the server names."""
    return (response.getheader("Content-Type") or "").partition(";")[0].strip()


def _body(response: http.client.HTTPResponse, limits: Limits, alarm: Alarm) -> bytes:
    """Read the file, and make sure that it is whole and not too large."""
    if response.status != _OK:
        raise refused(response)
    expected = response.length
    if (expected or 0) > limits.max_bytes:
        raise WebError(f"{expected} bytes are over the limit of {limits.max_bytes}")
    data = bytearray()
    while chunk := response.read1(_CHUNK):
        data += chunk
        if len(data) > limits.max_bytes:
            raise WebError(f"more bytes than the limit of {limits.max_bytes}")
    alarm.check()
    if expected is not None and len(data) < expected:
        raise WebError(f"the connection ended after {len(data)} of {expected} bytes", passing=True)
    if not data:
        raise WebError("the answer is empty")
    return bytes(data)
