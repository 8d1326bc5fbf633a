# In a lab's guest, with nothing but perl itself:
#   perl probe.pl answer NAME PORT       in the background: say NAME, and whom it sees, to whoever asks
#                                        by TCP or UDP
#   perl probe.pl ask SECONDS PROTOCOL:ADDRESS:PORT …   ask all of them at once; a line each with the answer
# The guest has no module, so neither strict nor warnings: tests check it with both.

my ($INET, $STREAM, $DATAGRAM, $NONBLOCK) = (2, 1, 2, 2048);    # Linux's

sub place { my ($address, $port) = @_; return pack('S n C4 x8', $INET, $port, split /\./, $address) }

sub words { my ($family, $port, @byte) = unpack('S n C4', shift); return join('.', @byte) . ":$port" }

sub bits { my $set = ''; vec($set, fileno($_), 1) = 1 for @_; return $set }

sub answer {
    my ($name, $port) = @_;
    socket(my $tcp, $INET, $STREAM, 0)   or die "socket: $!\n";
    socket(my $udp, $INET, $DATAGRAM, 0) or die "socket: $!\n";
    setsockopt($tcp, 1, 2, pack('i', 1));
    bind($_, place('0.0.0.0', $port)) or die "bind: $!\n" for $tcp, $udp;
    listen($tcp, 16) or die "listen: $!\n";
    $SIG{PIPE} = 'IGNORE';
    exit if fork;    # whoever waits for us knows that we listen
    while (1) {
        my $ready = bits($tcp, $udp);
        next if select($ready, undef, undef, undef) < 1;
        if (vec($ready, fileno($tcp), 1) and my $from = accept(my $peer, $tcp)) {
            my $asks = bits($peer);    # read what was asked: closing before would reset the connection
            sysread($peer, my $said, 2048) if select($asks, undef, undef, 0.3) > 0;
            syswrite($peer, "$name " . words($from) . "\n");
        }
        if (vec($ready, fileno($udp), 1) and my $from = recv($udp, my $said, 2048, 0)) {
            send($udp, "$name " . words($from) . "\n", 0, $from);
        }
    }
}

sub ask {
    local $SIG{PIPE} = 'IGNORE';
    my ($seconds, @targets) = @_;
    my (%open, %said, %greeted);
    for my $target (@targets) {
        my ($protocol, $address, $port) = split /:/, $target;
        socket(my $one, $INET, ($protocol eq 'tcp' ? $STREAM : $DATAGRAM) | $NONBLOCK, 0) or die "socket: $!\n";
        connect($one, place($address, $port));
        $open{$target} = $one;
        $greeted{$target} = $protocol ne 'tcp';
    }
    my $end = time + $seconds;
    my $round = 0;
    while (%open and time <= $end) {
        if ($round++ % 5 == 0) { /^udp/ and send($open{$_}, "who\n", 0) for keys %open }
        my ($ready, $connected) = (bits(values %open), bits(map { $open{$_} } grep { !$greeted{$_} } keys %open));
        select($ready, $connected, undef, 0.1);
        for my $target (grep { /^tcp/ } keys %open) {
            next if $greeted{$target} or !vec($connected, fileno($open{$target}), 1);
            $greeted{$target} = syswrite($open{$target}, "who\n");
        }
        for my $target (keys %open) {
            next unless vec($ready, fileno($open{$target}), 1);
            my $got = sysread($open{$target}, my $text, 2048);
            next if !defined $got and $target =~ /^udp/;    # refused for now: it may start later
            $said{$target} = $text if $got;
            delete $open{$target};
        }
    }
    for my $target (@targets) {
        my $text = $said{$target} // '';
        chomp $text;
        print "$target $text\n";
    }
}

my $verb = shift @ARGV;
$verb eq 'answer' ? answer(@ARGV) : ask(@ARGV);
