"""UDP and packet sockets whose datagrams carry the kernel's or the network card's own timestamps.

Rule: a transmit timestamp is matched to its packet by the kernel's own packet number and must lie between the moment
before the send and now; one that does not fit is dropped and counted, never guessed. While a transmit timestamp is awaited the
error queue is read before the receive queue, so that a reply finds its stamp already there; and whenever there is nothing to
receive it is emptied, so that the loop does not spin. A network error is told only if the packet that it quotes is the one sent
last.

Sources: Linux Documentation/networking/timestamping; linux/net_tstamp.h, linux/errqueue.h.

A plain socket with `loop.add_reader` is used: asyncio's own datagram endpoint leaves the error queue full, and POLLERR
then wakes the loop without end.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from timesync.descriptors import is_reserved
from timesync.exchange.ntp import Stamp
from timesync.model import Timestamping
from timesync.reasons import Reason

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Address", "SocketCounters", "TimestampedSocket", "icmp_reason", "send_reason"]

Address = tuple[Any, ...]

# linux/net_tstamp.h
TX_HARDWARE, TX_SOFTWARE, RX_HARDWARE, RX_SOFTWARE, SOFTWARE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4
RAW_HARDWARE, OPT_ID, OPT_CMSG, OPT_TSONLY, OPT_TX_SWHW = 1 << 6, 1 << 7, 1 << 10, 1 << 11, 1 << 14
# asm-generic/socket.h: the option's layout with 64-bit seconds has its own number on 32-bit machines.
SO_TIMESTAMPING = 37 if struct.calcsize("l") == 8 else 65
# linux/in.h, linux/in6.h, linux/errqueue.h
IP_RECVERR, IPV6_RECVERR = 11, 25
# linux/if_packet.h: what the error queue of a packet socket calls its transmit stamps
SOL_PACKET, PACKET_TX_TIMESTAMP = 263, 16
ERROR_MESSAGES = {
    (socket.IPPROTO_IP, IP_RECVERR),
    (socket.IPPROTO_IPV6, IPV6_RECVERR),
    (SOL_PACKET, PACKET_TX_TIMESTAMP),
}
ORIGIN_LOCAL, ORIGIN_ICMP, ORIGIN_ICMP6, ORIGIN_TIMESTAMPING = 1, 2, 3, 4

# Octets of the packet that an ICMP error quotes: enough to know it by.
QUOTED_OCTETS = 64

SCM_TIMESTAMPING = struct.Struct("=6q")
EXTENDED_ERROR = struct.Struct("=IBBBxII")

RECEIVE_BYTES = 2048
CONTROL_BYTES = 512
# Messages of the error queue handled before the loop gets its turn again: a flood on one socket must not starve the others.
FAIR_SHARE = 32
# How far a hardware stamp, translated to the system clock, may lie outside the send that made it.
SLACK_NS = 10_000

ERRNO_REASONS = {
    errno.ECONNREFUSED: Reason.PORT_UNREACHABLE,
    errno.EHOSTUNREACH: Reason.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Reason.HOST_UNREACHABLE,
    errno.EACCES: Reason.HOST_UNREACHABLE,  # a router's "administratively prohibited"
    errno.ENETUNREACH: Reason.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Reason.NETWORK_UNREACHABLE,
    errno.EADDRNOTAVAIL: Reason.NETWORK_UNREACHABLE,
}


def icmp_reason(number: int) -> Reason:
    """The reason for an error number that the network gave about a packet."""
    return ERRNO_REASONS.get(number, Reason.SEND_FAILED)


def send_reason(number: int) -> Reason:
    """The reason for an error number that our own kernel gave instead of sending. Its EACCES speaks of no router: a broadcast
    address, or a route or filter of this machine that prohibits it.
    """
    return Reason.SEND_FAILED if number == errno.EACCES else icmp_reason(number)


def _leave_the_reserve(made: socket.socket) -> None:
    """Raises OSError for a socket that has one of the descriptors without which the store could not keep what is measured."""
    if is_reserved(made.fileno()):
        raise OSError(errno.EMFILE, f"{os.strerror(errno.EMFILE)}: the last ones are kept for the store")


class SocketCounters:
    """What became of timestamps, over all sockets of an engine; each name is a metric's label."""

    __slots__ = ("stray_errors", "stray_tx_stamps", "tx_stamps", "untimed_receives")

    def __init__(self) -> None:
        self.stray_errors = 0
        self.tx_stamps = 0
        self.stray_tx_stamps = 0
        self.untimed_receives = 0

    def as_mapping(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class TimestampedSocket:
    """One non-blocking UDP socket (or packet socket, of the Ethernet type `protocol`) on the running loop.

    `on_datagram(data, address, stamp)`, `on_transmit(number, stamp)` and `on_error(errno, text)` are called from the loop.
    `number` is what `send` returned; a packet may get the kernel's stamp and then a hardware stamp. `on_error` is about the packet
    sent last. `interface` binds the socket to one network interface. `phc_to_system` turns a hardware clock's ns into the system
    clock's, or says None while it cannot; without it only the kernel's stamps are asked for. `prepare` sets what else the socket
    needs (multicast, say) before it is bound to `source`. `closed`: the port has been let go.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        family: socket.AddressFamily,
        on_datagram: Callable[[bytes, Address, Stamp], None],
        on_transmit: Callable[[int, Stamp], None],
        on_error: Callable[[int, str], None],
        *,
        counters: SocketCounters,
        source: Address | None = None,
        interface: str | None = None,
        phc_to_system: Callable[[int], int | None] | None = None,
        protocol: int = 0,
        prepare: Callable[[socket.socket], None] | None = None,
    ) -> None:
        self._loop = loop
        self._on_datagram = on_datagram
        self._on_transmit = on_transmit
        self._on_error = on_error
        self._counters = counters
        self._phc_to_system = phc_to_system
        self._next_number = 0
        self._sent_at: dict[int, int] = {}
        self._last_sent = b""
        self._family = family
        self.kernel_stamps = False
        self.closed = False
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(family, kind, socket.htons(protocol))
        try:
            _leave_the_reserve(self._socket)
            if prepare is not None:
                prepare(self._socket)
            self._configure(source, interface)
        except OSError:
            self._socket.close()
            raise
        loop.add_reader(self._socket.fileno(), self._readable)

    def _configure(self, source: Address | None, interface: str | None) -> None:
        sock = self._socket
        if interface is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        if self._family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        elif self._family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        flags = TX_SOFTWARE | RX_SOFTWARE | SOFTWARE | OPT_ID | OPT_CMSG | OPT_TSONLY
        if self._phc_to_system is not None:
            flags |= TX_HARDWARE | RX_HARDWARE | RAW_HARDWARE | OPT_TX_SWHW
        self._flags = flags
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
            self.kernel_stamps = True
        except OSError:
            # A kernel without the option: stamps are taken in user space, and each sample says so.
            self.kernel_stamps = False
        # Bound before the first send, so that the port is random and the same for the life of the association.
        sock.bind(source if source is not None else ("::" if self._family == socket.AF_INET6 else "0.0.0.0", 0))  # noqa: S104 - a client's socket, as unbound as before

    @property
    def port(self) -> int:
        """The local port."""
        port: int = self._socket.getsockname()[1]
        return port

    def send(self, data: bytes, address: Address) -> tuple[int, Stamp]:
        """Send a datagram; returns its number and the user-space stamp taken just before.

        Raises OSError if the kernel refuses. The kernel may also refuse because of an ICMP error that an earlier packet left on the
        socket: then the send is tried once more.
        """
        self._last_sent = data
        before_ns = time.time_ns()
        try:
            self._socket.sendto(data, address)
        except OSError:
            self._renumber()
            self._drain_errors()
            before_ns = time.time_ns()
            try:
                self._socket.sendto(data, address)
            except OSError:
                self._renumber()
                raise
        number = self._next_number
        self._next_number = (number + 1) & 0xFFFFFFFF
        if self.kernel_stamps:
            self._sent_at[number] = before_ns
            if len(self._sent_at) > 64:
                # Stamps that never came (a driver without them): forget the oldest.
                del self._sent_at[next(iter(self._sent_at))]
        return number, Stamp(before_ns, Timestamping.USER)

    def _renumber(self) -> None:
        """Begin the kernel's packet numbers again at 0: whether a failed send used one up depends on the kernel.

        A stamp that is still queued under an old number is older than any send to come, so it cannot be matched.
        """
        self._next_number = 0
        self._sent_at.clear()
        if self.kernel_stamps:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, self._flags)

    def close(self) -> None:
        """Stop listening and let the port go."""
        if not self.closed:
            self.closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def drain_transmit_stamps(self) -> None:
        """Hand on the transmit stamps that are already there. Right after a send the kernel's own usually is; taken then, it does
        not wake the loop. The kernel is asked only while a stamp is awaited.
        """
        for _ in range(FAIR_SHARE):
            if not (self._sent_at and self._read_error()):
                return

    def _readable(self) -> None:
        """One datagram a turn: the loop calls again while there are more, and other sockets get their turn in between."""
        self.drain_transmit_stamps()
        if self.closed:
            return  # by a callback
        try:
            data, control, _flags, address = self._socket.recvmsg(RECEIVE_BYTES, CONTROL_BYTES)
        except OSError:
            # Woken for the error queue, which must not stay full; or an ICMP error, whose details are in that queue.
            self._drain_errors()
            return
        stamp = self._stamp(control)
        if stamp is None:
            self._counters.untimed_receives += 1
            stamp = Stamp(time.time_ns(), Timestamping.USER)
        self._on_datagram(data, address, stamp)

    def _drain_errors(self) -> None:
        for _ in range(FAIR_SHARE):
            if not self._read_error():
                return

    def _read_error(self) -> bool:
        """Take one message from the error queue; false if there is none, or the socket was closed by the callback."""
        try:
            quoted, control, _flags, _address = self._socket.recvmsg(QUOTED_OCTETS, CONTROL_BYTES, socket.MSG_ERRQUEUE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._on_error(error.errno or 0, os.strerror(error.errno or 0))
            return False
        self._error_message(quoted, control)
        return not self.closed

    def _error_message(self, quoted: bytes, control: list[tuple[int, int, bytes]]) -> None:
        for level, kind, value in control:
            if (level, kind) in ERROR_MESSAGES:
                number, origin, icmp_type, icmp_code, _info, identity = EXTENDED_ERROR.unpack_from(value)
                if origin == ORIGIN_TIMESTAMPING:
                    self._transmit_stamp(identity, self._stamp(control))
                elif not self._last_sent.startswith(quoted):
                    self._counters.stray_errors += 1
                elif origin in {ORIGIN_ICMP, ORIGIN_ICMP6}:
                    self._on_error(number, f"{os.strerror(number)} (ICMP type {icmp_type} code {icmp_code})")
                else:
                    self._on_error(number, os.strerror(number))
                return

    def _transmit_stamp(self, number: int, stamp: Stamp | None) -> None:
        """A stamp lies between its send and now, or it belongs to another packet. (SLACK_NS: hardware stamps are translated.)"""
        sent_at_ns = self._sent_at.get(number)
        if stamp is None or sent_at_ns is None or not sent_at_ns - SLACK_NS <= stamp.at_ns <= time.time_ns() + SLACK_NS:
            self._counters.stray_tx_stamps += 1
            return
        if stamp.kind is Timestamping.HARDWARE or self._phc_to_system is None:
            del self._sent_at[number]
        self._counters.tx_stamps += 1
        self._on_transmit(number, stamp)

    def _stamp(self, control: list[tuple[int, int, bytes]]) -> Stamp | None:
        """The best stamp in a control message: struct scm_timestamping holds software, a retired one, raw hardware."""
        for level, kind, value in control:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
                soft_s, soft_ns, _, _, hard_s, hard_ns = SCM_TIMESTAMPING.unpack(value)
                if self._phc_to_system is not None and (hard_s or hard_ns):
                    system_ns = self._phc_to_system(hard_s * 1_000_000_000 + hard_ns)
                    if system_ns is not None:
                        return Stamp(system_ns, Timestamping.HARDWARE)
                if soft_s or soft_ns:
                    return Stamp(soft_s * 1_000_000_000 + soft_ns, Timestamping.KERNEL)
        return None
