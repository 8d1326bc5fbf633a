"""Connect, request, reply, close, one TCP connection after the other: connections per second, and the time of
each.

Like netperf's TCP_CRR, but netperf is not in the main archive of Debian 12 and 13, so client and server are
perl code of qtrace. The server closes first, so that the client has no sockets in TIME_WAIT and does not run
out of ports. Each reply contains the server's count of connections: the client fails if one is missing.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from qtrace.errors import LabError
from qtrace.lab.link.connection import Network
from qtrace.lab.workload.workload import Measured, Metric, Workload, measured
from qtrace.model import PLAIN, Direction, Setting

__all__ = ["PORT", "SERVER", "WORKLOAD", "crr"]

PORT = 12865
_MESSAGE = 64  # bytes, of request and of reply
# The guest has no perl modules: addresses are packed by hand like struct sockaddr_in (linux/in.h).
_READ = r"""
sub all { my ($from, $length) = @_; my $got = '';
    while (length $got < $length) { my $n = sysread($from, $got, $length - length $got, length $got);
        die "read: $!\n" unless defined $n; last unless $n }
    $got }
"""
_SERVER = (
    _READ
    + r"""
my ($port, $size) = @ARGV;
socket(my $listener, 2, 1, 0) or die "socket: $!\n";
setsockopt($listener, 1, 2, pack('i', 1)) or die "setsockopt: $!\n";
bind($listener, pack('S n a4 x8', 2, $port, "\0" x 4)) or die "bind: $!\n";
listen($listener, 128) or die "listen: $!\n";
for (my $number = 1; accept(my $client, $listener); ) {
    next unless length all($client, $size) == $size;
    syswrite($client, sprintf("%0${size}d", $number++));
    close $client;
}
"""
)
# 228 is clock_gettime on x86_64, 1 CLOCK_MONOTONIC. The first connection is not timed; it gives the first
# count.
_CLIENT = (
    _READ
    + r"""
my ($host, $port, $size, $seconds) = @ARGV;
my $to = pack('S n C4 x8', 2, $port, split /\./, $host);
sub now { my $time = "\0" x 16; syscall(228, 1, $time); my ($s, $ns) = unpack 'q q', $time; $s * 1e9 + $ns }
sub once {
    socket(my $to_server, 2, 1, 0) or die "socket: $!\n";
    connect($to_server, $to) or die "connect: $!\n";
    syswrite($to_server, 'r' x $size) == $size or die "write: $!\n";
    my $reply = all($to_server, $size + 1);
    close $to_server;
    length $reply == $size or die "a reply of " . length($reply) . " bytes\n";
    $reply + 0 }
my $last = once();
my ($began, $ended, @took) = (now());
do { my $start = now(); my $number = once(); $ended = now();
    $number == ++$last or die "connection $last is the server's $number\n";
    push @took, $ended - $start } while ($ended - $began < $seconds * 1e9);
@took = sort { $a <=> $b } @took;
my $sum = 0; $sum += $_ for @took;
sub at { my $rank = int(@took * $_[0] + 0.999999); $took[($rank || 1) - 1] / 1e3 }
printf '{"connections": %d, "seconds": %.6f, "mean": %.3f, "p50": %.3f, "p90": %.3f, "p99": %.3f}',
    scalar @took, ($ended - $began) / 1e9, $sum / @took / 1e3, at(0.5), at(0.9), at(0.99);
"""
)
SERVER = ("perl", "-e", _SERVER, str(PORT), str(_MESSAGE))
METRICS = (
    Metric("connection_rate", "1/s", "more", headline=True),
    Metric("connections", "connection"),
    *(Metric(f"crr_{name}", "us", "less", headline=name == "p50") for name in ("mean", "p50", "p90", "p99")),
)


def crr(
    network: Network, direction: Direction | None, seconds: float, setting: Setting = PLAIN
) -> tuple[list[Measured], dict[str, Any]]:
    """`connection_rate` (1/s), `connections`, and `crr_mean`, `crr_p50`, `crr_p90`, `crr_p99` (us): from
    before connect until after close.

    `SERVER` must run in the network's namespace and serve no other client meanwhile.
    """
    words = (network.link.host_addr, PORT, _MESSAGE, seconds)
    command = shlex.join(["perl", "-e", _CLIENT, *map(str, words)])
    status, output = network.guest.try_sh(command, timeout=seconds + 120)
    try:
        raw: dict[str, Any] = json.loads(output)
        values = {"connection_rate": raw["connections"] / raw["seconds"], "connections": raw["connections"]}
        values |= {f"crr_{name}": raw[name] for name in ("mean", "p50", "p90", "p99")}
    except (ValueError, KeyError, TypeError) as exc:
        said = output.strip()[-300:]
        raise LabError(f"crr's client in the guest ended with status {status}: {said}") from exc
    return measured(METRICS, {name: float(value) for name, value in values.items()}), raw


WORKLOAD = Workload("crr", SERVER, PORT, ("perl",), METRICS, crr, least_seconds=1, standard=False)
