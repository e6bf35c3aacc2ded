"""Frames from an interface or from a pcap or pcapng file, for the passive observer in `timesync.capture`: a thin shell around
scapy.

Rule: scapy opens packet sockets, compiles BPF filters and reads and writes capture files. It dissects nothing: octets go on
as they came. Capture times stay integers: from files they are taken as the file has them, and from the kernel as its timespec
(scapy makes a float of it, which resolves 238 ns). Nothing is ever sent. scapy is GPL-2.0-only and takes a while to import:
an extra, imported here when used.

Sources: www.tcpdump.org/manpages/pcap-savefile.5.html; draft-ietf-opsawg-pcapng; packet(7), linux/if_packet.h, linux/if_arp.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import gzip
import logging
import os
import select
import socket
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from timesync.capture.frames import ETHERNET
from timesync.errors import DataError
from timesync.plugin import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedReader

__all__ = ["CAPTURE", "FileFrames", "FrameWriter", "InterfaceFrames"]

SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_OUTGOING = 263, 6, 8, 4
SO_TIMESTAMPNS = 35
VLAN_VALID, TPID_VALID = 1 << 4, 1 << 6
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772
# Interfaces without a link layer: TUN, IP tunnels.
ARPHRD_RAW = frozenset({65534, 768, 769, 776, 778})
RAW_IP = 101
LONGEST_FRAME = 65536
# No block of a capture file is so long: a length that says so is noise.
LONGEST_READ = 1 << 26
IDLE_S = 0.25
BUFFER_OCTETS = 1 << 23
NS_PER_S = 1_000_000_000

_AUXDATA = struct.Struct("=IIIHHHH")
_TIMESPEC = struct.Struct("@ll")
_STATISTICS = struct.Struct("=II")

MESSAGES = "udp port 319 or udp port 320 or {ntp} or ether proto 0x88f7 or ether proto 0x892f"
# Later fragments have no ports; the observer tells of them. The kernel hands on frames without their first VLAN tag.
FILTER = "{messages} or (ip proto 17 and ip[6:2] & 0x1fff != 0) or (vlan and ({messages}))"
LIBRARIES = ("libpcap.so.1", "libpcap.so.0.8", "libpcap.so")
NO_SCAPY = "reading captures needs scapy: pip install 'timesync[capture]'"
NO_LIBPCAP = (
    "libpcap is not there, so the kernel hands on every frame of the interface; install it (Debian: libpcap0.8)"
)


def _scapy(module: str) -> Any:
    """A module of scapy. Raises DataError with the remedy where scapy is not installed.

    It writes tables into a cache when it is first imported: into the one that XDG_CACHE_HOME names, else into none that stays.
    """
    from importlib import import_module  # noqa: PLC0415 - only here

    try:
        if "scapy" in sys.modules or "XDG_CACHE_HOME" in os.environ:
            return import_module(module)
        with tempfile.TemporaryDirectory(prefix="timesync-scapy-") as folder:
            os.environ["XDG_CACHE_HOME"] = folder
            try:
                return import_module(module)
            finally:
                del os.environ["XDG_CACHE_HOME"]
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "scapy":
            raise
        raise DataError(NO_SCAPY) from error
    finally:
        # What scapy says of a file is told with the report; it has a handler of its own that writes to the terminal.
        logger = logging.getLogger("scapy")
        logger.propagate = False
        logger.handlers[:] = [logging.NullHandler()]


class _Sayings(logging.Handler):
    """What scapy warns of while a file is read, each once."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._notes and len(self._notes) < 8:
            self._notes.append(text)


class _Counted:
    """The file that scapy reads: counts octets, and remembers that a read came out short, or that the compression is broken."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.octets = 0
        self.trouble = ""

    def read(self, count: int) -> bytes:
        if count > LONGEST_READ:
            self.trouble = f"a block claims {count} octets after {self.octets}"
            return b""
        try:
            data = cast("bytes", self._stream.read(count))
        except (OSError, EOFError, zlib.error) as error:
            self.trouble = f"the file cannot be read on after {self.octets} octets ({error})"
            return b""
        self.octets += len(data)
        if 0 < len(data) < count:
            self.trouble = f"the file ends within a record, after {self.octets} octets"
        return data

    def close(self) -> None:
        self._stream.close()


class FileFrames:
    """The frames of a pcap or pcapng file, gzip-compressed or not; "-" is standard input. Raises DataError if it is none.

    `share` is how much of it has been read (None where that cannot be told), `notes` what was wrong on the way, `complete`
    whether it was read to an end that is one.
    """

    dropped: int | None = None

    def __init__(self, name: str) -> None:
        utils = _scapy("scapy.utils")
        error_module = _scapy("scapy.error")
        self.notes: list[str] = []
        self._sayings = _Sayings(self.notes)
        logging.getLogger("scapy.runtime").addHandler(self._sayings)
        self._name = "standard input" if name == "-" else name
        self._next_generation = utils.RawPcapNgReader
        self._size = 0
        try:
            self._plain = self._open(name)
            packed = self._plain.peek(2)[:2] == b"\x1f\x8b"
            self._file = _Counted(gzip.GzipFile(fileobj=self._plain) if packed else self._plain)
            self._reader = utils.RawPcapReader(self._file)
        except OSError as error:
            self.close()
            raise DataError(f"{self._name}: cannot be read ({error.strerror or error})") from error
        except (error_module.Scapy_Exception, struct.error) as error:
            self.close()
            raise DataError(f"{self._name}: not a pcap or pcapng file ({error})") from error

    def _open(self, name: str) -> BufferedReader:
        if name == "-":
            return cast("BufferedReader", sys.stdin.buffer)
        path = Path(name)
        self._size = path.stat().st_size
        return path.open("rb")

    @property
    def share(self) -> float | None:
        """How much has been read, 0 to 1."""
        return min(1.0, self._plain.tell() / self._size) if self._size else None

    @property
    def complete(self) -> bool:
        """Whether the file ended as a file ends."""
        return not self._file.trouble

    def __iter__(self) -> Iterator[Frame | None]:
        try:
            yield from self._blocks() if isinstance(self._reader, self._next_generation) else self._records()
        except (struct.error, ValueError, KeyError, IndexError, TypeError, ZeroDivisionError) as error:
            # scapy trips over lengths and options that make no sense; what was read before stands.
            self._file.trouble = f"the file cannot be read on after {self._file.octets} octets ({error})"
        if self._file.trouble:
            self.notes.append(self._file.trouble)

    def _records(self) -> Iterator[Frame]:
        """Of a pcap file."""
        reader = self._reader
        link_type, unit_ns = reader.linktype, 1 if reader.nano else 1000
        for data, record in reader:
            if len(data) < record.caplen and self._file.trouble:
                return  # the rest of this one is not in the file
            yield Frame(record.sec * NS_PER_S + record.usec * unit_ns, link_type, data, record.wirelen, unit_ns)

    def _blocks(self) -> Iterator[Frame]:
        """Of a pcapng file, whose interfaces each have their own unit of time."""
        for data, block in self._reader:
            at_ns, unit_ns = None, 1
            if block.tshigh is not None:
                per_s = block.tsresol
                at_ns = ((block.tshigh << 32) + block.tslow) * NS_PER_S // per_s
                unit_ns = max(1, NS_PER_S // per_s)
            yield Frame(at_ns, block.linktype, data, block.wirelen, unit_ns)

    def close(self) -> None:
        """Let the file go."""
        logging.getLogger("scapy.runtime").removeHandler(self._sayings)
        plain = getattr(self, "_plain", None)
        if plain is not None and self._name != "standard input":
            plain.close()


@contextlib.contextmanager
def _libpcap_where_the_loader_finds_it() -> Iterator[None]:
    """scapy looks for libpcap by ctypes.util.find_library, which needs ldconfig or a compiler; the loader itself does not."""
    find = ctypes.util.find_library

    def found(name: str) -> str | None:
        return find(name) or (_loadable() if name == "pcap" else None)

    ctypes.util.find_library = found
    try:
        yield
    finally:
        ctypes.util.find_library = find


def _loadable() -> str | None:
    for library in LIBRARIES:
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return library
    return None


def _libpcap_is_there() -> bool:
    with _libpcap_where_the_loader_finds_it():
        try:
            _scapy("scapy.libs.winpcapy")
        except OSError:
            return False
    return True


class InterfaceFrames:
    """The frames that pass an interface, both ways, with the kernel's time stamps. Raises DataError where it cannot be opened.

    None is given where nothing came for a while. `dropped` is what the kernel could not keep.
    """

    share: float | None = None
    complete = True

    def __init__(
        self, name: str, *, filter_text: str = "", ntp_ports: Sequence[int] = (123,), promiscuous: bool = True
    ) -> None:
        linux = _scapy("scapy.arch.linux")
        error_module = _scapy("scapy.error")
        self.notes: list[str] = []
        self.dropped: int | None = 0
        wanted: str | None = None
        if _libpcap_is_there():
            messages = MESSAGES.format(ntp=" or ".join(f"udp port {port}" for port in ntp_ports))
            wanted = FILTER.format(messages=messages)
            wanted = f"({filter_text}) and ({wanted})" if filter_text else wanted
        elif filter_text:
            raise DataError("a filter needs libpcap, which is not there: install it (Debian: libpcap0.8)")
        else:
            self.notes.append(NO_LIBPCAP)
        try:
            self._socket = linux.L2ListenSocket(iface=name, filter=wanted, promisc=promiscuous)
        except PermissionError as error:
            remedy = "it needs CAP_NET_RAW: run it as root, or read a file that tcpdump wrote"
            raise DataError(f"{name}: cannot be captured on ({error.strerror}); {remedy}") from error
        except (OSError, ValueError, error_module.Scapy_Exception) as error:
            raise DataError(f"{name}: cannot be captured on ({error})") from error
        self._sock: socket.socket = self._socket.ins
        kind = self._sock.getsockname()[3]
        if kind not in {ARPHRD_ETHER, ARPHRD_LOOPBACK, *ARPHRD_RAW}:
            self._socket.close()
            raise DataError(f"{name}: hardware type {kind} is not read; name an Ethernet interface")
        self._link_type = RAW_IP if kind in ARPHRD_RAW else ETHERNET
        self._loopback = kind == ARPHRD_LOOPBACK
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_OCTETS)
        self._sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._sock.settimeout(0)

    def __iter__(self) -> Iterator[Frame | None]:
        while True:
            ready, _, _ = select.select([self._sock], [], [], IDLE_S)
            if not ready:
                yield None
                continue
            try:
                data, told, _, address = self._sock.recvmsg(LONGEST_FRAME, 256)
            except BlockingIOError:
                continue
            except OSError as error:
                self.notes.append(f"the interface gives no more frames ({error.strerror})")
                return
            if self._loopback and address[2] == PACKET_OUTGOING:
                continue  # it comes in as well
            yield self._frame(data, told)

    def _frame(self, data: bytes, told: list[tuple[int, int, bytes]]) -> Frame:
        at_ns: int | None = None
        wire = len(data)
        for level, kind, content in told:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(content) >= _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack_from(content)
                at_ns = seconds * NS_PER_S + nanoseconds
            elif level == SOL_PACKET and kind == PACKET_AUXDATA and len(content) >= _AUXDATA.size:
                status, length, _, _, _, tag, tag_type = _AUXDATA.unpack_from(content)
                wire = max(wire, length)
                if tag or status & VLAN_VALID:
                    tag_type = tag_type if status & TPID_VALID else 0x8100
                    data = data[:12] + struct.pack("!HH", tag_type, tag) + data[12:]
                    wire += 4
        return Frame(at_ns, self._link_type, data, wire, 1)

    def count_dropped(self) -> None:
        """Ask the kernel what it could not keep since it was asked last."""
        answer = self._sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, _STATISTICS.size)
        self.dropped = (self.dropped or 0) + _STATISTICS.unpack(answer)[1]

    def close(self) -> None:
        """Let the interface go."""
        if self._sock.fileno() >= 0:
            self.count_dropped()
        self._socket.close()


class FrameWriter:
    """Frames into a pcap file with nanoseconds (scapy's pcapng has microseconds). One link type a file, as pcap has it."""

    def __init__(self, path: Path) -> None:
        self._writer_class = _scapy("scapy.utils").RawPcapWriter
        self._path = path
        self._writer: Any = None
        self._link_type = 0
        self.written = self.left_out = 0
        try:
            self._file: BinaryIO = path.open("wb")
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror})") from error

    def write(self, frame: Frame) -> None:
        """Write a frame; one of another link type than the first, or without a time, is left out and counted."""
        if self._writer is None:
            self._begin(frame.link_type)
        if frame.at_ns is None or frame.link_type != self._link_type:
            self.left_out += 1
            return
        seconds, nanoseconds = divmod(frame.at_ns, NS_PER_S)
        self._writer.write_packet(frame.data, sec=seconds, usec=nanoseconds, wirelen=frame.wire_octets)
        self.written += 1

    def _begin(self, link_type: int) -> None:
        self._link_type = link_type
        self._writer = self._writer_class(self._file, linktype=link_type, nano=True)
        self._writer.linktype = link_type  # scapy takes 0, BSD's loopback, for none
        self._writer.write_header(None)

    def close(self) -> None:
        """End the file; without any frame it is an empty capture of Ethernet."""
        if self._writer is None:
            self._begin(ETHERNET)
        self._file.close()


class _Capture:
    """What `timesync capture` finds by the entry point group `timesync.captures`."""

    def interfaces(self) -> Sequence[str]:
        """The interfaces of this machine."""
        return [name for _, name in socket.if_nameindex()]

    def open_file(self, name: str) -> FileFrames:
        """The frames of a file. Raises DataError."""
        return FileFrames(name)

    def open_interface(
        self, name: str, *, filter_text: str, ntp_ports: Sequence[int], promiscuous: bool
    ) -> InterfaceFrames:
        """The frames of an interface. Raises DataError."""
        return InterfaceFrames(name, filter_text=filter_text, ntp_ports=ntp_ports, promiscuous=promiscuous)

    def open_writer(self, path: Path) -> FrameWriter:
        """A pcap file to write. Raises DataError."""
        return FrameWriter(path)


CAPTURE = _Capture()
